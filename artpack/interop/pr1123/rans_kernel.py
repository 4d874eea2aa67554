"""
PR 1123's rANS: 32 bits of state, 16-bit probabilities, a byte at a time.

The decoder is compiled. It reads forwards what the encoder wrote backwards; four bytes,
the most significant first, are the state to begin with.

Source: parameter-golf pull request 1123, whose encoder is not published; Duda,
"Asymmetric numeral systems", 2013.
"""

import numpy as np
from numpy.typing import NDArray

from artpack.errors import CorruptError, TruncatedError
from artpack.stages.symbols import Symbols
from artpack.system.jit import jit

PROBABILITY_BITS = 16
TOTAL = 1 << PROBABILITY_BITS
LOWEST_STATE = 1 << 23
STATE_BYTES = 4


def frequencies(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """
    Turn counts into bounds of the intervals of the symbols, by the published rule.

    A bound that equals the one before it is one more than that. Where rare symbols
    follow each other this may leave an interval empty, or even turned around; such a
    table cannot be decoded, by its own system either.

    Args:
        counts: int64, shape ``(alphabet,)``, positive.

    Returns:
        int64, shape ``(alphabet + 1,)``, from 0 to 65536, strictly increasing.

    Raises:
        CorruptError: A count is not positive, or the rule leaves a symbol no room.

    >>> frequencies(np.array([1, 2, 1])).tolist()
    [0, 16384, 49152, 65536]

    """
    if not counts.size or counts.min() < 1:
        raise CorruptError("rans: a count is not positive")
    bounds = [0]
    for below in np.cumsum(counts)[:-1].tolist():
        bound = below * TOTAL // int(counts.sum())
        bounds.append(bound + (bound == bounds[-1]))
    table = np.array([*bounds, TOTAL], np.int64)
    if np.diff(table).min() < 1:
        raise CorruptError("rans: the published rule leaves a rare symbol no room")
    return table


def decode(data: NDArray[np.uint8], counts: NDArray[np.int64], *, count: int) -> Symbols:
    """
    Decode a stream.

    Args:
        data: uint8, the stream.
        counts: int64, shape ``(alphabet,)``, positive; the alphabet is at most 256.
        count: How many symbols it holds.

    Returns:
        uint8, shape ``(count,)``.

    Raises:
        TruncatedError: The stream ends early.
        CorruptError: It holds more, or the counts are none.

    """
    bounds = frequencies(counts)
    if data.size < STATE_BYTES:
        raise TruncatedError(f"rans: a stream of {data.size} bytes has no state")
    symbol_at = np.repeat(np.arange(counts.size, dtype=np.uint8), np.diff(bounds))
    symbols = np.empty(count, np.uint8)
    used = _decode(data, bounds, symbol_at, symbols)
    if used < 0:
        raise TruncatedError(f"rans: the stream ends before its {count} symbols")
    if used < data.size:
        raise CorruptError(f"rans: {data.size - used} bytes follow the {count} symbols")
    return symbols


def encode(symbols: Symbols, counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """
    Encode symbols.

    Args:
        symbols: uint8, one-dimensional.
        counts: int64, shape ``(alphabet,)``, positive; the alphabet is at most 256.

    Returns:
        uint8, the stream.

    >>> counts = np.array([3, 1])
    >>> stream = encode(np.array([0, 0, 1, 0], np.uint8), counts)
    >>> decode(stream, counts, count=4).tolist()
    [0, 0, 1, 0]

    """
    # A symbol takes at most 16 bits, and then part of the state.
    stream = np.empty(2 * symbols.size + STATE_BYTES, np.uint8)
    used = _encode(symbols, frequencies(counts), stream)
    return stream[:used][::-1].copy()


@jit()
def _decode(
    data: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    symbol_at: NDArray[np.uint8],
    symbols: NDArray[np.uint8],
) -> int:
    """Fill ``symbols``; return the number of bytes used, or -1 if there are too few."""
    state = np.int64(0)
    used = STATE_BYTES
    for byte in data[:STATE_BYTES]:
        state = (state << 8) | np.int64(byte)
    for i in range(symbols.size):
        slot = state & (TOTAL - 1)
        symbol = symbol_at[slot]
        low = bounds[symbol]
        state = (bounds[symbol + 1] - low) * (state >> PROBABILITY_BITS) + slot - low
        while state < LOWEST_STATE:
            if used == data.size:
                return -1
            state = (state << 8) | np.int64(data[used])
            used += 1
        symbols[i] = symbol
    return used


@jit()
def _encode(
    symbols: NDArray[np.uint8], bounds: NDArray[np.int64], stream: NDArray[np.uint8]
) -> int:
    """Fill ``stream``, last byte first; return the number of bytes used."""
    state = np.int64(LOWEST_STATE)
    used = 0
    for i in range(symbols.size - 1, -1, -1):
        low = bounds[symbols[i]]
        frequency = bounds[symbols[i] + 1] - low
        while state >= frequency << 15:
            stream[used] = state & 255
            state >>= 8
            used += 1
        state = (state // frequency << PROBABILITY_BITS) + state % frequency + low
    for _ in range(STATE_BYTES):
        stream[used] = state & 255
        state >>= 8
        used += 1
    return used
