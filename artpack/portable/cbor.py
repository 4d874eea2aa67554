"""The part of CBOR that headers are written in (RFC 8949), read by the standard library."""

import struct
from typing import Any

from artpack.errors import CorruptError, TruncatedError

DEEPEST = 16

_SIMPLE = {20: False, 21: True, 22: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}


def read_cbor(data: bytes) -> Any:
    """
    Read one value.

    Args:
        data: Its encoding: definite lengths, no tags, no more than 16 deep.

    Returns:
        The value.

    Raises:
        CorruptError: It is none.
        TruncatedError: It ends early.

    >>> read_cbor(bytes.fromhex("a2 61 61 83 f5 f6 f9 38 00 61 62 01"))
    {'a': [True, None, 0.5], 'b': 1}

    """
    value, end = _read_value(data, 0, DEEPEST)
    if end != len(data):
        raise CorruptError("the header goes on behind its end")
    return value


def _read_value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Return a value, and where it ends."""
    if at >= len(data):
        raise TruncatedError("the header ends early")
    kind, low = divmod(data[at], 32)
    if kind > 5 or low > 27 or not depth:
        return _read_simple(data, at, low if kind == 7 else 0)
    size = 1 << low - 24 if low > 23 else 0
    number = int.from_bytes(data[at + 1 : at + 1 + size]) if size else low
    at += 1 + size
    if kind < 2:
        return -1 - number if kind else number, at
    if kind < 4:
        text = data[at : at + number]
        if len(text) < number:
            raise TruncatedError("the header ends early")
        return text.decode() if kind == 3 else text, at + number
    values = []
    for _ in range(number << kind - 4):
        value, at = _read_value(data, at, depth - 1)
        values.append(value)
    return values if kind == 4 else dict(zip(values[::2], values[1::2], strict=True)), at


def _read_simple(data: bytes, at: int, low: int) -> tuple[Any, int]:
    """Return a truth value, nothing, or a float."""
    if low in _SIMPLE:
        return _SIMPLE[low], at + 1
    if low not in _FLOATS:
        raise CorruptError("the header has a value that no header has")
    form = _FLOATS[low]
    return struct.unpack_from(form, data, at + 1)[0], at + 1 + struct.calcsize(form)
