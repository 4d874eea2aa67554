"""Static rANS: one frequency table, then every symbol at its own length."""

import math
from dataclasses import dataclass
from typing import ClassVar

import constriction
import numpy as np
from numpy.typing import NDArray

from artpack.coding.symbol_coders.checked_coder import CheckedCoder, check_size
from artpack.coding.symbol_coders.roots import (
    FREQUENCY_BITS,
    frequencies,
    pack_roots,
    square_roots,
    unpack_roots,
)
from artpack.errors import CorruptError, TruncatedError
from artpack.stages.symbols import Symbols, histogram

# Ranks pass to and from the coder as 32-bit integers, so many at a time.
_BLOCK_SYMBOLS = 1 << 20


@dataclass(frozen=True)
class Rans(CheckedCoder):
    """
    Close to the order-0 entropy, whatever the alphabet and the number of symbols.

    A stream is a frequency table (:func:`~artpack.coding.symbol_coders.roots.pack_roots`)
    and the words of an asymmetric numeral system with 64 bits of state, 32-bit
    words and 24-bit frequencies: the state first, then the words in the order in
    which decoding takes them, all big-endian. Zero bytes in front are dropped;
    the table's two flag bits say how many. Absent symbols have no frequency.

    The encoder starts not with an empty state but with ``2**32`` plus the last few
    symbols, as digits in base "number of distinct symbols": as many as fit 32
    bits. So the marker by which the decoder knows that it has come to the end is
    nearly free, and ends early or late are certain to be seen.

    Symbols that are all the same take the table alone; no symbols, or an alphabet
    of 1, take no bytes.

    >>> symbols = np.array([2, 2, 1, 3, 2, 0, 2, 4, 2, 2, 1, 3, 2, 2, 2], dtype=np.uint8)
    >>> Rans().encode(symbols, alphabet=5).hex(" ")
    'c7 2c 04 62 83 c3 f2'

    Source: Duda, "Asymmetric numeral systems" (2013), by way of the library
    constriction: Bamler, "Understanding entropy coding with asymmetric numeral
    systems" (2022).

    """

    stage_id: ClassVar[str] = "rans"

    def expected_bytes(self, symbols: Symbols, *, alphabet: int) -> int:
        """
        Return the size of what :meth:`encode` makes, or one byte less, without coding.

        Args:
            symbols: uint8, one-dimensional, any length.
            alphabet: All symbols are below it.

        Returns:
            Bytes: those of the table, and the information of the symbols under it.

        >>> symbols = np.repeat(np.arange(4, dtype=np.uint8), [4000, 2000, 1000, 1000])
        >>> Rans().expected_bytes(symbols, alphabet=4), len(Rans().encode(symbols, alphabet=4))
        (1753, 1753)

        """
        if not symbols.size or alphabet == 1:
            return 0
        counts = histogram(symbols, alphabet)
        roots = square_roots(counts.tolist())
        present, table = np.flatnonzero(roots), len(pack_roots(roots, 0))
        if len(present) == 1:
            return table
        costs = np.zeros(alphabet)
        costs[present] = FREQUENCY_BITS - np.log2(frequencies([r for r in roots if r]))
        tail = symbols[symbols.size - _tail_symbols(len(present), symbols.size) :]
        bits = float(counts @ costs - costs[tail].sum())
        return table + math.ceil((32 + bits) / 8)

    def _encode(self, symbols: Symbols, alphabet: int) -> bytes:
        if not symbols.size or alphabet == 1:
            return b""
        roots = _table(symbols, alphabet)
        words = _encode_words(symbols, roots)
        payload = words.astype(">u4").tobytes().lstrip(b"\0")
        return pack_roots(roots, -len(payload) % 4) + payload

    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols:
        if not count or alphabet == 1:
            check_size(data, 0)
            return np.zeros(count, dtype=np.uint8)
        roots, dropped, size = unpack_roots(data, alphabet)
        symbols = _decode_words(_words(data[size:], dropped), roots, count)
        if pack_roots(_table(symbols, alphabet), dropped) != data[:size]:
            raise CorruptError("rans: the frequency table is not that of the symbols")
        return symbols


def _table(symbols: Symbols, alphabet: int) -> list[int]:
    return square_roots(histogram(symbols, alphabet).tolist())


def _words(payload: bytes, dropped: int) -> NDArray[np.uint32]:
    """Put back the zero bytes in front, and check that they had to be dropped."""
    if (len(payload) + dropped) % 4:
        raise TruncatedError("rans: the last word ends early")
    if payload[:1] == b"\0":
        raise CorruptError("rans: the first word starts with a zero byte")
    return np.frombuffer(bytes(dropped) + payload, ">u4").astype(np.uint32)


def _encode_words(symbols: Symbols, roots: list[int]) -> NDArray[np.uint32]:
    present = np.flatnonzero(roots)
    if len(present) == 1:
        return np.empty(0, dtype=np.uint32)
    ranks = np.zeros(len(roots), dtype=np.int32)
    ranks[present] = np.arange(len(present))
    body = symbols.size - _tail_symbols(len(present), symbols.size)
    tail = 0
    for rank in ranks[symbols[body:]].tolist():
        tail = tail * len(present) + rank
    coder = constriction.stream.stack.AnsCoder(np.array([tail, 1], dtype=np.uint32))
    model = _model(roots)
    for start in reversed(range(0, body, _BLOCK_SYMBOLS)):
        block = symbols[start : min(start + _BLOCK_SYMBOLS, body)]
        coder.encode_reverse(ranks[block], model)
    words: NDArray[np.uint32] = coder.get_compressed()
    return words[::-1]


def _decode_words(words: NDArray[np.uint32], roots: list[int], count: int) -> Symbols:
    present = np.flatnonzero(roots).astype(np.uint8)
    if len(present) == 1:
        if len(words):
            raise CorruptError("rans: words are left over")
        return np.full(count, present[0], dtype=np.uint8)
    if len(words) < 2:
        raise TruncatedError("rans: the state ends early")
    body = count - _tail_symbols(len(present), count)
    symbols = np.empty(count, dtype=np.uint8)
    coder = constriction.stream.stack.AnsCoder(words[::-1].copy())
    model = _model(roots)
    for start in range(0, body, _BLOCK_SYMBOLS):
        stop = min(start + _BLOCK_SYMBOLS, body)
        symbols[start:stop] = present[coder.decode(model, stop - start)]
    words_left, state = coder.pos()
    # With its words used up the decoder goes on with what state it has, which from
    # then on is below 2**32 and never grows: so it cannot end at the marker.
    if state >> 32 == 0:
        raise TruncatedError("rans: the words end early")
    if words_left or state >> 32 != 1:
        raise CorruptError("rans: words are left over")
    symbols[body:] = present[_digits(state - (1 << 32), len(present), count - body)]
    return symbols


def _model(roots: list[int]) -> object:
    """
    Make the coder's model of the symbols that occur.

    Exact, for all its floating point. The library gives each of n symbols 1 and
    shares out the other 2**24 - n in proportion to what it is told: symbol i starts
    at floor(scale * (w_0 + ... + w_(i-1))) + i, with scale = (2**24 - n) / sum(w).
    We tell it w = frequency - 1, integers that sum to just 2**24 - n: every partial
    sum is an integer below 2**53, hence exact, and scale is 1.0. Symbol i starts
    where the frequencies before it end.
    """
    present = [root for root in roots if root]
    weights = (frequencies(present) - 1).astype(np.float64)
    return constriction.stream.model.Categorical(weights, perfect=False)


def _tail_symbols(distinct: int, count: int) -> int:
    """Return how many symbols the initial state holds."""
    fitting = 0
    while distinct ** (fitting + 1) <= 1 << 32:
        fitting += 1
    return min(fitting, count)


def _digits(value: int, base: int, count: int) -> list[int]:
    digits = []
    for _ in range(count):
        value, digit = divmod(value, base)
        digits.append(digit)
    if value:
        raise CorruptError("rans: the last symbols are out of range")
    return digits[::-1]
