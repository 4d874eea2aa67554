"""Symbols as bit planes: which are zero, then signs, then magnitudes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from artpack.coding.symbol_coders.checked_coder import CheckedCoder
from artpack.errors import CorruptError, TruncatedError
from artpack.stages.symbols import Symbols


@dataclass(frozen=True)
class Planes(CheckedCoder):
    """
    Bit planes of signed codes, the zero code being symbol ``alphabet // 2``.

    In this order, with one bit a symbol, packed most significant bit first and
    filled up to a byte with zero bits, each plane on its own:

    - zero mask of all symbols: 1 is zero;
    - sign of the others: 1 is negative;
    - their magnitude less one, most significant plane first. Quinary symbols
      have one such plane (1 is magnitude 2), ternary ones have none.

    How many symbols are not zero follows from the mask.

    >>> Planes().encode(np.array([0, 1, 2, 3, 4, 2, 4], dtype=np.uint8), alphabet=5).hex(" ")
    '24 c0 98'

    Source: layout 3 of the parameter-golf submission PR 2086, there for five levels.

    """

    stage_id: ClassVar[str] = "planes"

    def _encode(self, symbols: Symbols, alphabet: int) -> bytes:
        zero = alphabet // 2
        is_zero = symbols == zero
        codes = symbols[~is_zero].astype(np.int16) - zero
        below = np.abs(codes) - 1
        magnitude = [below >> bit & 1 for bit in reversed(range(_magnitude_planes(alphabet)))]
        return b"".join(np.packbits(plane).tobytes() for plane in (is_zero, codes < 0, *magnitude))

    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols:
        is_zero, rest = _take_plane(data, count)
        others = count - int(np.count_nonzero(is_zero))
        negative, rest = _take_plane(rest, others)
        below = np.zeros(others, dtype=np.uint8)
        for _ in range(_magnitude_planes(alphabet)):
            plane, rest = _take_plane(rest, others)
            below <<= 1
            below |= plane
        if rest:
            raise CorruptError(f"planes: {len(rest)} bytes are left over")
        zero = alphabet // 2
        if (below >= np.where(negative, np.uint8(zero), np.uint8(alphabet - 1 - zero))).any():
            raise CorruptError(f"planes: a magnitude is out of range for the alphabet {alphabet}")
        symbols = np.full(count, zero, dtype=np.uint8)
        magnitude = below + np.uint8(1)
        symbols[~is_zero] = np.where(negative, np.uint8(zero) - magnitude, zero + magnitude)
        return symbols


def _magnitude_planes(alphabet: int) -> int:
    largest = alphabet // 2
    return (largest - 1).bit_length() if largest else 0


def _take_plane(data: bytes, count: int) -> tuple[NDArray[np.bool_], bytes]:
    """Split the next plane off the data."""
    size = -(-count // 8)
    if len(data) < size:
        raise TruncatedError(f"planes: a plane ends early: {len(data)} of {size} bytes")
    bits = np.unpackbits(np.frombuffer(data[:size], np.uint8))
    if bits[count:].any():
        raise CorruptError("planes: the padding of a plane is not zero")
    return bits[:count].astype(np.bool_), data[size:]
