"""
Interleaved rANS: symbols in a row of lanes, each with a state of its own, on one string of words.

States are 32 bits, words 16. Towards the end lanes retire: they give the words that they
began with back to the string, so that these are no loss.

Source: Giesen, "Interleaved entropy coders" (2014).
"""

import numpy as np
from numpy.typing import NDArray

from artpack.coding.adaptive.stream import LEAST_STATE, SYMBOLS_PER_LANE
from artpack.coding.adaptive.tables import PLACE_BITS, TOTAL, TOTAL_BITS, Integers
from artpack.stages.symbols import Symbols
from artpack.system.jit import jit

Unsigned = NDArray[np.uint32]

_PLACE, _LOW, _LEAST = np.uint32(TOTAL - 1), np.uint32(0xFFFF), np.uint32(LEAST_STATE)
_PLACE_BITS, _SEARCH_BITS = np.uint32(PLACE_BITS), np.uint32(TOTAL_BITS - PLACE_BITS)
_TOTAL_BITS, _CODE_BITS, _WORD_BITS = np.uint32(TOTAL_BITS), np.uint32(8), np.uint32(16)

AWAKE, LEFT, POSITION, FURTHEST = range(4)
"""Of a cursor: lanes that are awake, symbols to come, words read, and most words ever read."""


@jit(nogil=True)
def lanes_awake(lanes: int, left: int) -> int:
    """Return how many of the lanes are awake where so many symbols are to come."""
    awake = lanes
    while awake > 1 and left < SYMBOLS_PER_LANE * awake:
        awake >>= 1
    return awake


@jit(nogil=True)
def _woken(lanes: int, asleep_above: int) -> int:
    """Return how many lanes were awake before only so many were."""
    awake = lanes
    while awake >> 1 > asleep_above:
        awake >>= 1
    return awake


@jit(nogil=True)
def encode_lanes(
    slots: NDArray[np.uint32], pieces: Integers, lanes: int, words: NDArray[np.uint16]
) -> tuple[int, int, Integers]:
    """
    Code symbols of known starts and frequencies, the last one first.

    ``words`` are zeros, as many as symbols and lanes. Return from where up to where they are
    written, and the states.
    """
    total = len(slots)
    states = np.full(lanes, LEAST_STATE, np.int64)
    chunks = np.zeros(pieces.max() + 2, np.int64)
    at = end = last = total
    awake = 0
    for piece in pieces[::-1]:
        # Where chunks begin depends on how many symbols are to come, so they are found forwards.
        count, chunks[0] = 0, last - piece
        while chunks[count] < last:
            size = lanes_awake(lanes, total - chunks[count])
            chunks[count + 1] = min(chunks[count] + size, last)
            count += 1
        for c in range(count - 1, -1, -1):
            first, needed = chunks[c], lanes_awake(lanes, total - chunks[c])
            while awake < needed:
                woken = _woken(lanes, awake)
                for lane in range(awake, woken):
                    if at < end:
                        states[lane] |= np.int64(words[at])
                    at += 1
                awake, end = woken, max(end, at)
            own = slots[first : chunks[c + 1]]
            for lane in range(len(own) - 1, -1, -1):
                start, frequency = np.int64(own[lane] >> _WORD_BITS), np.int64(own[lane] & _LOW)
                state = states[lane]
                needy = state >> 32 - TOTAL_BITS >= frequency
                # Written in any case, as a branch would be guessed wrong too often.
                words[at - 1] = state & 0xFFFF
                at -= int(needy)
                state = state >> 16 if needy else state
                # Exact: neither has more than 32 bits, and a float64 has 53.
                quotient = np.int64(state / frequency)
                states[lane] = (quotient << TOTAL_BITS) + start + state - quotient * frequency
        last = chunks[0]
    return at, end, states


@jit(nogil=True)
def retire(states: Unsigned, awake: int, cursor: Integers, words: NDArray[np.uint16]) -> bool:
    """Let all but so many lanes give their words back; return whether they have any."""
    position, sound = cursor[POSITION] - (cursor[AWAKE] - awake), True
    for lane in range(awake, cursor[AWAKE]):
        sound = sound and states[lane] >> 16 == 1
        words[position + lane - awake] = states[lane] & 0xFFFF
    cursor[AWAKE], cursor[POSITION] = awake, position
    return sound


@jit(nogil=True)
def decode_lanes(  # noqa: PLR0917 - numba knows no keywords
    ids: NDArray[np.int32],
    slots: Unsigned,
    places: Symbols,
    codes: Symbols,
    states: Unsigned,
    cursor: Integers,
    words: NDArray[np.uint16],
) -> bool:
    """
    Decode a symbol for each table in ``ids``.

    ``words`` has as many zeros at its end as there are lanes; return whether they were not
    needed, and lanes that retired were sound.
    """
    at, sound = 0, True
    while at < len(ids):
        while cursor[AWAKE] > 1 and cursor[LEFT] < SYMBOLS_PER_LANE * cursor[AWAKE]:
            sound = retire(states, cursor[AWAKE] >> 1, cursor, words) and sound
        size = min(cursor[AWAKE], len(ids) - at)
        position = cursor[POSITION]
        for lane in range(size):
            state, table = states[lane], np.uint32(ids[at + lane])
            place = state & _PLACE
            at_code = (table << _CODE_BITS) + np.uint32(
                places[(table << _SEARCH_BITS) + (place >> _PLACE_BITS)]
            )
            slot = slots[at_code]
            while place - (slot >> _WORD_BITS) >= slot & _LOW:
                at_code += np.uint32(1)
                slot = slots[at_code]
            state = (slot & _LOW) * (state >> _TOTAL_BITS) + place - (slot >> _WORD_BITS)
            needy = state < _LEAST
            word = np.uint32(words[position])
            states[lane] = state << _WORD_BITS | word if needy else state
            position += np.int64(needy)
            codes[at + lane] = at_code
        cursor[POSITION], cursor[LEFT] = position, cursor[LEFT] - size
        cursor[FURTHEST] = max(cursor[FURTHEST], position)
        if position > len(words) - len(states):
            return False
        at += size
    return sound
