"""Digits of a small odd base, as many to a word as fit."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from artpack.coding.symbol_coders.checked_coder import CheckedCoder, check_size
from artpack.errors import CorruptError
from artpack.stages.symbols import Symbols


class _Radix(CheckedCoder):
    """
    Words of ``word_type``, each ``digits_per_word`` symbols in base ``max_alphabet``.

    The first digit is the least significant. The last word is filled up with
    zero digits, so the reader must be told the count.
    """

    digits_per_word: ClassVar[int]
    word_type: ClassVar[str]

    def _encode(self, symbols: Symbols, alphabet: int) -> bytes:  # noqa: ARG002
        words = -(-symbols.size // self.digits_per_word)
        digits = np.zeros((words, self.digits_per_word), dtype=np.uint8)
        digits.reshape(-1)[: symbols.size] = symbols
        packed = np.zeros(words, dtype=self.word_type)
        for column in digits.T[::-1]:
            packed *= self.max_alphabet
            packed += column
        return packed.tobytes()

    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols:  # noqa: ARG002
        words = -(-count // self.digits_per_word)
        check_size(data, words * np.dtype(self.word_type).itemsize)
        rest = np.frombuffer(data, self.word_type).copy()
        digits = np.empty((words, self.digits_per_word), dtype=np.uint8)
        for column in digits.T:
            column[:] = rest % self.max_alphabet
            rest //= self.max_alphabet
        if rest.any():
            raise CorruptError(
                f"{self.stage_id}: a word holds more than {self.digits_per_word} digits"
            )
        symbols = digits.reshape(-1)
        if symbols[count:].any():
            raise CorruptError(f"{self.stage_id}: the padding of the last word is not zero")
        return symbols[:count]


@dataclass(frozen=True)
class Base3(_Radix):
    """
    Five ternary digits a byte: 1.6 bits each, against log2(3) = 1.585.

    >>> Base3().encode(np.array([0, 1, 2, 2, 0, 1], dtype=np.uint8), alphabet=3).hex(" ")
    '4b 01'

    Source: the ternary packing ``TQ1_0`` of ggml, which holds the same five digits a byte.

    """

    stage_id: ClassVar[str] = "base3"
    max_alphabet: ClassVar[int] = 3
    digits_per_word: ClassVar[int] = 5
    word_type: ClassVar[str] = "u1"


@dataclass(frozen=True)
class Base5(_Radix):
    """
    Three base-5 digits a byte: 2.667 bits each, against log2(5) = 2.322.

    Larger than :class:`Base5Word` alone, but where three symbols repeat so does a byte,
    for a codec behind it to find.

    >>> Base5().encode(np.array([0, 1, 2, 3, 4, 2, 4], dtype=np.uint8), alphabet=5).hex(" ")
    '37 49 04'

    Source: layout 1 of the parameter-golf submission PR 2086.

    """

    stage_id: ClassVar[str] = "base5"
    max_alphabet: ClassVar[int] = 5
    digits_per_word: ClassVar[int] = 3
    word_type: ClassVar[str] = "u1"


@dataclass(frozen=True)
class Base5Word(_Radix):
    """
    27 base-5 digits a little-endian 64-bit word: 2.370 bits each, against log2(5) = 2.322.

    27 is the most that fit: 5**27 < 2**64 < 5**28.

    >>> Base5Word().encode(np.array([1, 2, 0, 4], dtype=np.uint8), alphabet=5).hex(" ")
    'ff 01 00 00 00 00 00 00'

    """

    stage_id: ClassVar[str] = "base5-word"
    max_alphabet: ClassVar[int] = 5
    digits_per_word: ClassVar[int] = 27
    word_type: ClassVar[str] = "<u8"
