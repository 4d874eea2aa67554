"""
Source in few bytes: minified, compressed, and written as text that unpacks itself.

The text is a number in base 124, whose digits are the characters of ASCII but four: NUL,
carriage return, the quote and the backslash. So it is UTF-8, survives other line ends, and takes
1.15 bytes for one of what it stands for, where base 85 takes 1.25.
"""

import bz2
import lzma
from collections.abc import Sequence
from functools import lru_cache

DIGITS = "".join(chr(code) for code in range(128) if chr(code) not in '\0\r"\\')
BASE = len(DIGITS)

LZMA = {"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "pb": 0}


def pack_source(source: str, names: Sequence[str]) -> str:
    """
    Write source in few bytes.

    Args:
        source: Python's.
        names: Names that others use; all others may change.

    Returns:
        Statements that leave the source, minified, in the variable ``s``.

    """
    return _pack(source, tuple(names))


@lru_cache(maxsize=64)
def _pack(source: str, names: tuple[str, ...]) -> str:
    import python_minifier  # noqa: PLC0415 - takes a while, for this alone

    minified = python_minifier.minify(
        source,
        hoist_literals=False,
        rename_globals=True,
        preserve_globals=list(names),
        remove_literal_statements=True,
        remove_asserts=True,
    ).encode()
    packed = {
        "lzma": lzma.compress(minified, lzma.FORMAT_ALONE, filters=[LZMA]),
        "bz2": bz2.compress(minified),
    }
    module = min(packed, key=lambda name: len(packed[name]))
    data = packed[module]
    return (
        f'import {module}\ns=0\nfor o in b"""{write_number(data)}""":'
        "s=s*124+o-1-(o>13)-(o>34)-(o>92)\n"
        f"s={module}.decompress(s.to_bytes({len(data)}))\n"
    )


def write_number(data: bytes) -> str:
    r"""
    Write bytes as one number.

    Args:
        data: The most significant first; the first one is not 0.

    Returns:
        Its digits in base 124, the most significant first.

    >>> write_number(bytes([124]))
    '\x02\x01'

    """
    number, digits = int.from_bytes(data), []
    while number:
        number, digit = divmod(number, BASE)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))
