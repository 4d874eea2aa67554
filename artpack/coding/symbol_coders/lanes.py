"""
The asymmetric numeral system of :class:`Rans`, in lanes that a processor works on at once.

A state takes symbols one after the other, each a multiplication and a few memory accesses
later than the one before. So the symbols of a long stream are dealt out to several states,
symbol ``i`` to state ``i mod lanes``, which share one sequence of words: decoding takes a
word whenever the state at hand needs one, encoding goes backwards.

States have 64 bits, words 32, and frequencies sum to ``2**24``.

Source: Giesen, "Interleaved entropy coders" (arXiv 1402.3392).
"""

from bisect import bisect_right
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.stages.symbols import Symbols
from artpack.system.jit import jit, portable

LANES = 8
"""States of a long stream."""

MANY_SYMBOLS = 1 << 17
"""Symbols besides the commonest from which on a stream is long: each state costs two bytes."""

TOTAL_BITS = 24
"""Frequencies sum to two to this."""

Words: TypeAlias = NDArray[np.uint32]
States: TypeAlias = NDArray[np.uint64]

SLOT_BITS = 12
"""Upper bits of a place among the frequencies by which its symbol is looked up."""

_ONE = np.uint64(1)
_WORD_BITS = np.uint64(32)
_TOTAL_BITS = np.uint64(TOTAL_BITS)
_ROOM_BITS = np.uint64(64 - TOTAL_BITS)
_COARSE_BITS = np.uint64(TOTAL_BITS - SLOT_BITS)
_MASK = np.uint64((1 << TOTAL_BITS) - 1)
_LEAST = np.uint64(1 << 32)


def lanes_of(count: int, shares: NDArray[np.int64]) -> int:
    """
    Choose the number of states.

    Args:
        count: Number of symbols.
        shares: int64, the frequency of each symbol that occurs, summing to ``2**24``.

    Returns:
        ``LANES`` or 1.

    """
    others = (1 << TOTAL_BITS) - int(shares.max())
    return LANES if count * others >> TOTAL_BITS >= MANY_SYMBOLS else 1


def slots_of(starts: States) -> Symbols:
    """
    Find the first symbol that each value of the upper bits may stand for.

    Args:
        starts: uint64, ``(distinct + 1,)``: where the frequencies of each symbol begin.

    Returns:
        uint8, ``(2**SLOT_BITS,)``: its place among those that occur.

    """
    lowest = np.arange(1 << SLOT_BITS, dtype=np.uint64) << _COARSE_BITS
    return (np.searchsorted(starts, lowest, "right") - 1).astype(np.uint8)


@jit(nogil=True, error_model="numpy")
def encode_lanes(
    symbols: Symbols, starts: States, shares: States, states: States, words: Words
) -> int:
    """
    Code symbols, the last one first.

    Args:
        symbols: uint8, a multiple of the number of states.
        starts: uint64, ``(256,)``: where the frequencies of each symbol begin.
        shares: uint64, ``(256,)``: the frequency of each symbol; 1 or more of those in use.
        states: uint64, one a lane: changed in place.
        words: uint32, as many as there are symbols: filled from the end.

    Returns:
        Where the words begin.

    """
    lanes = len(states)
    place, base = np.uint64(len(words)), np.uint64(len(symbols))
    for _ in range(len(symbols) // lanes):
        base -= np.uint64(lanes)
        for back in range(1, lanes + 1):
            lane = np.uint64(lanes - back)
            symbol, state = symbols[base + lane], states[lane]
            share = shares[symbol]
            if state >= share << _ROOM_BITS:
                place -= _ONE
                words[place] = np.uint32(state)
                state >>= _WORD_BITS
            quotient = state // share
            states[lane] = (quotient << _TOTAL_BITS) + (state - quotient * share) + starts[symbol]
    return int(place)


def decode_lanes_plainly(
    words: Words, starts: States, present: Symbols, states: States, symbols: Symbols
) -> int:
    """Do what :func:`decode_lanes` does, in Python's own integers."""
    lanes, size, place = len(states), len(words), 0
    lows, waiting, current = starts.tolist(), words.tolist(), states.tolist()
    shares = [end - start for start, end in pairwise(lows)]
    ranks = bytearray(len(symbols))
    for at in range(len(symbols)):
        lane = at % lanes
        state = current[lane]
        low = state & (1 << TOTAL_BITS) - 1
        rank = bisect_right(lows, low) - 1
        state = shares[rank] * (state >> TOTAL_BITS) + low - lows[rank]
        if state < 1 << 32 and place < size:
            state = state << 32 | waiting[place]
            place += 1
        current[lane] = state
        ranks[at] = rank
    states[:] = current
    symbols[:] = present[np.frombuffer(ranks, np.uint8)]
    return place


@portable(by=decode_lanes_plainly)
def decode_lanes(
    words: Words, starts: States, present: Symbols, states: States, symbols: Symbols
) -> int:
    """
    Undo :func:`encode_lanes`.

    Args:
        words: uint32, those behind the states.
        starts: uint64, ``(distinct + 1,)``: where the frequencies of each symbol begin.
        present: uint8, ``(distinct,)``: the symbols that occur.
        states: uint64, one a lane: changed in place.
        symbols: uint8, a multiple of the number of states: filled.

    Returns:
        How many words were used. Where there are too few, a state ends below ``2**32``.

    """
    return _decode_lanes(words, starts, slots_of(starts), present, states, symbols)


@jit(nogil=True)
def _decode_lanes(  # noqa: PLR0917 - numba knows no keywords
    words: Words,
    starts: States,
    slots: Symbols,
    present: Symbols,
    states: States,
    symbols: Symbols,
) -> int:
    """Take a word whenever the state at hand needs one."""
    lanes = len(states)
    place, size, base = np.uint64(0), np.uint64(len(words)), np.uint64(0)
    for _ in range(len(symbols) // lanes):
        for number in range(lanes):
            lane = np.uint64(number)
            state = states[lane]
            low = state & _MASK
            rank = np.uint64(slots[low >> _COARSE_BITS])
            while low >= starts[rank + _ONE]:
                rank += _ONE
            start = starts[rank]
            state = (starts[rank + _ONE] - start) * (state >> _TOTAL_BITS) + (low - start)
            if state < _LEAST and place < size:
                state = (state << _WORD_BITS) | np.uint64(words[place])
                place += _ONE
            states[lane] = state
            symbols[base + lane] = present[rank]
        base += np.uint64(lanes)
    return int(place)
