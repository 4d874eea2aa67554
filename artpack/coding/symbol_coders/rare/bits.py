"""As many bits for every symbol as its alphabet needs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from artpack.coding.symbol_coders.checked_coder import CheckedCoder, check_size
from artpack.errors import CorruptError
from artpack.stages.symbols import Symbols

_BLOCK_SYMBOLS = 1 << 18


@dataclass(frozen=True)
class Bytes(CheckedCoder):
    """
    One symbol a byte: what a general-purpose codec is happiest with.

    >>> Bytes().encode(np.array([3, 0, 2], dtype=np.uint8), alphabet=4).hex(" ")
    '03 00 02'

    """

    stage_id: ClassVar[str] = "bytes"

    def _encode(self, symbols: Symbols, alphabet: int) -> bytes:  # noqa: ARG002
        return symbols.tobytes()

    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols:  # noqa: ARG002
        check_size(data, count)
        return np.frombuffer(data, np.uint8).copy()


@dataclass(frozen=True)
class Bits(CheckedCoder):
    """
    The fewest whole bits for every symbol, ``ceil(log2(alphabet))``.

    Symbols follow each other without gaps, most significant bit first. The last
    byte is filled up with zero bits. An alphabet of 1 takes no bytes at all.

    >>> Bits().encode(np.array([5, 0, 2], dtype=np.uint8), alphabet=6).hex(" ")
    'a1 00'

    """

    stage_id: ClassVar[str] = "bits"

    def _encode(self, symbols: Symbols, alphabet: int) -> bytes:
        width = _width(alphabet)
        return b"".join(_pack(symbols[at], width).tobytes() for at in _blocks(symbols.size))

    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols:
        width = _width(alphabet)
        check_size(data, -(-count * width // 8))
        coded = np.frombuffer(data, np.uint8)
        symbols = np.empty(count, np.uint8)
        for at in _blocks(count):
            symbols[at] = _unpack(coded[at.start * width // 8 :], at.stop - at.start, width)
        return symbols


def _width(alphabet: int) -> int:
    return (alphabet - 1).bit_length()


def _blocks(count: int) -> Iterator[slice]:
    """Cut symbols into runs that end with a byte and are small when every bit takes one."""
    for start in range(0, count, _BLOCK_SYMBOLS):
        yield slice(start, min(count, start + _BLOCK_SYMBOLS))


def _pack(symbols: Symbols, width: int) -> NDArray[np.uint8]:
    bits = np.unpackbits(symbols[:, np.newaxis], axis=1)
    return np.packbits(bits[:, 8 - width :])


def _unpack(coded: NDArray[np.uint8], count: int, width: int) -> Symbols:
    used = -(-count * width // 8)
    bits = np.unpackbits(coded[:used])
    if bits[count * width :].any():
        raise CorruptError("bits: the padding of the last byte is not zero")
    padded = np.zeros((count, 8), dtype=np.uint8)
    padded[:, 8 - width :] = bits[: count * width].reshape(count, width)
    return np.packbits(padded)
