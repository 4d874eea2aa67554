"""Static rANS: one frequency table, then every symbol at its own length."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from artpack.coding.symbol_coders.checked_coder import CheckedCoder, check_size
from artpack.coding.symbol_coders.lanes import (
    LANES,
    States,
    Words,
    decode_lanes,
    encode_lanes,
    lanes_of,
)
from artpack.coding.symbol_coders.roots import (
    FREQUENCY_BITS,
    frequencies,
    pack_roots,
    square_roots,
    table_bytes,
    unpack_roots,
)
from artpack.errors import CorruptError, TruncatedError
from artpack.stages.symbols import MAX_ALPHABET, Symbols, histogram
from artpack.system.jit import portable

_WORD = 1 << 32
MOST_TAIL_SYMBOLS = 32 * LANES
"""So many symbols at the end may lie in the states."""


@dataclass(frozen=True)
class Rans(CheckedCoder):
    """
    Close to the order-0 entropy, whatever the alphabet and the number of symbols.

    A stream is a frequency table (:func:`~artpack.coding.symbol_coders.roots.pack_roots`)
    and the words of an asymmetric numeral system with 64 bits of state, 32-bit
    words and 24-bit frequencies: the state first, then the words in the order in
    which decoding takes them, all big-endian. Long streams have several states
    (:mod:`~artpack.coding.symbol_coders.lanes`). Zero bytes in front are dropped;
    the table's two flag bits say how many. Absent symbols have no frequency.

    The encoder starts not with empty states but with ``2**32`` plus the last few
    symbols, as digits in base "number of distinct symbols": as many as fit 32
    bits. So the marker by which the decoder knows that it has come to the end is
    nearly free, and ends early or late are certain to be seen.

    Symbols that are all the same take the table alone; no symbols, or an alphabet
    of 1, take no bytes.

    >>> symbols = np.array([2, 2, 1, 3, 2, 0, 2, 4, 2, 2, 1, 3, 2, 2, 2], dtype=np.uint8)
    >>> Rans().encode(symbols, alphabet=5).hex(" ")
    'c7 2c 04 62 83 c3 f2'

    Source: Duda, "Asymmetric numeral systems" (2013); Bamler, "Understanding entropy
    coding with asymmetric numeral systems" (2022).

    """

    stage_id: ClassVar[str] = "rans"

    def expected_bytes(self, symbols: Symbols, *, alphabet: int) -> int:
        """
        Return the size of what :meth:`encode` makes, or one byte less, without coding.

        Where a long stream has several states, a few bytes more or less.

        Args:
            symbols: uint8, one-dimensional, any length.
            alphabet: All symbols are below it.

        Returns:
            Bytes: those of the table, and the information of the symbols under it.

        >>> symbols = np.repeat(np.arange(4, dtype=np.uint8), [4000, 2000, 1000, 1000])
        >>> Rans().expected_bytes(symbols, alphabet=4), len(Rans().encode(symbols, alphabet=4))
        (1753, 1753)

        """
        counts = histogram(symbols, alphabet)
        return self.expected_of(counts, symbols[-MOST_TAIL_SYMBOLS:])

    def expected_of(self, counts: NDArray[np.int64], last: Symbols) -> int:
        """
        Return what :meth:`expected_bytes` does, of symbols that were counted before.

        Args:
            counts: int64, ``(alphabet,)``.
            last: The last ``MOST_TAIL_SYMBOLS`` symbols, or all.

        Returns:
            Bytes.

        """
        if not counts.any() or len(counts) == 1:
            return 0
        roots = square_roots(counts.tolist())
        present, table = np.flatnonzero(roots), table_bytes(roots)
        if len(present) == 1:
            return table
        count = int(counts.sum())
        shares = _shares(roots)
        costs = np.zeros(len(counts))
        costs[present] = FREQUENCY_BITS - np.log2(shares)
        lanes = lanes_of(count, shares)
        tail = sum(_tail_symbols(len(present), count, lanes))
        bits = float(counts @ costs - costs[last[last.size - tail :]].sum())
        # Zero bits in front of the first state are dropped; all others have 16 on average.
        return table + math.ceil((32 + 48.5 * (lanes - 1) + bits) / 8)

    def _encode(self, symbols: Symbols, alphabet: int) -> bytes:
        if not symbols.size or alphabet == 1:
            return b""
        roots = square_roots(histogram(symbols, alphabet).tolist())
        words = _encode_words(symbols, roots)
        payload = words.astype(">u4").tobytes().lstrip(b"\0")
        return pack_roots(roots, -len(payload) % 4) + payload

    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols:
        if not count or alphabet == 1:
            check_size(data, 0)
            return np.zeros(count, dtype=np.uint8)
        roots, dropped, size = unpack_roots(data, alphabet)
        symbols = _decode_words(_words(data[size:], dropped), roots, count)
        _check_table(symbols, roots, data[:size], dropped)
        return symbols


@portable(by=None)
def _check_table(symbols: Symbols, roots: list[int], packed: bytes, dropped: int) -> None:
    """Refuse a frequency table that no encoder writes."""
    table = square_roots(histogram(symbols, len(roots)).tolist())
    if table != roots or pack_roots(table, dropped) != packed:
        raise CorruptError("rans: the frequency table is not that of the symbols")


def _shares(roots: list[int]) -> NDArray[np.int64]:
    return frequencies([root for root in roots if root])


def _words(payload: bytes, dropped: int) -> Words:
    """Put back the zero bytes in front, and check that they had to be dropped."""
    if (len(payload) + dropped) % 4:
        raise TruncatedError("rans: the last word ends early")
    if payload[:1] == b"\0":
        raise CorruptError("rans: the first word starts with a zero byte")
    return np.frombuffer(bytes(dropped) + payload, ">u4").astype(np.uint32)


def _encode_words(symbols: Symbols, roots: list[int]) -> Words:
    present = np.flatnonzero(roots)
    if len(present) == 1:
        return np.empty(0, dtype=np.uint32)
    present_shares = _shares(roots)
    starts, shares = np.zeros(MAX_ALPHABET, np.uint64), np.ones(MAX_ALPHABET, np.uint64)
    shares[present] = present_shares
    starts[present] = np.cumsum(present_shares) - present_shares
    lanes = lanes_of(symbols.size, present_shares)
    lengths = _tail_symbols(len(present), symbols.size, lanes)
    body = symbols.size - sum(lengths)
    states = _full_states(np.searchsorted(present, symbols[body:]), len(present), lengths)
    words = np.empty(body, np.uint32)
    begin = encode_lanes(np.ascontiguousarray(symbols[:body]), starts, shares, states, words)
    halves = np.stack((states >> np.uint64(32), states), axis=1).astype(np.uint32)
    return np.concatenate((halves.ravel(), words[begin:]))


def _decode_words(words: Words, roots: list[int], count: int) -> Symbols:
    present = np.flatnonzero(roots).astype(np.uint8)
    if len(present) == 1:
        if len(words):
            raise CorruptError("rans: words are left over")
        return np.full(count, present[0], dtype=np.uint8)
    shares = _shares(roots)
    lanes = lanes_of(count, shares)
    if len(words) < 2 * lanes:
        raise TruncatedError("rans: the states end early")
    halves = words[: 2 * lanes].astype(np.uint64)
    states, rest = (halves[::2] << np.uint64(32)) | halves[1::2], words[2 * lanes :]
    lengths = _tail_symbols(len(present), count, lanes)
    body = count - sum(lengths)
    symbols = np.empty(count, dtype=np.uint8)
    starts = np.concatenate(([0], np.cumsum(shares))).astype(np.uint64)
    used = decode_lanes(rest, starts, present, states, symbols[:body])
    # With all words used up a state that needs one goes on below 2**32, and never grows.
    if (states < _WORD).any():
        raise TruncatedError("rans: the words end early")
    if used < len(rest) or (states >= 2 * _WORD).any():
        raise CorruptError("rans: words are left over")
    symbols[body:] = present[_last_ranks(states, len(present), lengths)]
    return symbols


def _tail_symbols(distinct: int, count: int, lanes: int) -> list[int]:
    """
    Return how many symbols each state begins with.

    As many as fit; one less in the last ones, so that the others can be dealt out evenly.
    """
    fitting = 0
    while distinct ** (fitting + 1) <= _WORD:
        fitting += 1
    if lanes == 1:
        return [min(fitting, count)]
    short = (lanes * fitting - count) % lanes
    return [fitting] * (lanes - short) + [fitting - 1] * short


def _full_states(ranks: NDArray[np.int64], distinct: int, lengths: Sequence[int]) -> States:
    """Return states that hold so many ranks each, as digits."""
    values, left = [], iter(ranks.tolist())
    for length in lengths:
        value = 0
        for rank in islice(left, length):
            value = value * distinct + rank
        values.append(_WORD + value)
    return np.array(values, np.uint64)


def _last_ranks(states: States, distinct: int, lengths: Sequence[int]) -> list[int]:
    """Undo :func:`_full_states`."""
    ranks = []
    for state, length in zip(states.tolist(), lengths, strict=True):
        value, digits = state - _WORD, []
        for _ in range(length):
            value, digit = divmod(value, distinct)
            digits.append(digit)
        if value:
            raise CorruptError("rans: the last symbols are out of range")
        ranks += digits[::-1]
    return ranks
