"""As many bits for every symbol as its alphabet needs."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from artpack.coding.symbol_coders.checked import CheckedCoder, check_size
from artpack.errors import CorruptError
from artpack.symbols import Symbols


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
        bits = np.unpackbits(symbols[:, np.newaxis], axis=1)
        return np.packbits(bits[:, 8 - _width(alphabet) :]).tobytes()

    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols:
        width = _width(alphabet)
        check_size(data, -(-count * width // 8))
        bits = np.unpackbits(np.frombuffer(data, np.uint8))
        if bits[count * width :].any():
            raise CorruptError("bits: the padding of the last byte is not zero")
        padded = np.zeros((count, 8), dtype=np.uint8)
        padded[:, 8 - width :] = bits[: count * width].reshape(count, width)
        return np.packbits(padded)


def _width(alphabet: int) -> int:
    return (alphabet - 1).bit_length()
