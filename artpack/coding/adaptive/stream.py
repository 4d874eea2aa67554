"""
The bytes of an adaptive stream: escapes, the states of lanes, words; and classes of rows.

Needs numpy alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artpack.coding.adaptive.arrangement import Arrangement, lanes_for
from artpack.coding.adaptive.tables import (
    HIGHEST_CLASS,
    LOWEST_CLASS,
    PRIOR_ROWS,
    Integers,
    class_bits,
)
from artpack.errors import CorruptError, TruncatedError

LEAST_STATE = 1 << 16
"""States are at least this before a symbol is decoded, and below ``2**32``."""

SYMBOLS_PER_LANE = 64
"""Lanes retire where there are fewer symbols to come for each of them."""

MAX_NUMBER_BYTES = 9


@dataclass(frozen=True)
class Points:
    """
    What symbols stand for.

    Attributes:
        alphabet: Symbols are below it; ``alphabet // 2`` stands for 0.
        spacing: Distance of two points of the trellis.
        taps: How the trellis goes on: see :func:`artpack.stages.trellis.taps`.
    """

    alphabet: int
    spacing: int
    taps: NDArray[np.int32]


@dataclass(frozen=True)
class Stream:
    """
    A stream that was taken apart.

    Attributes:
        arrangement: Of its matrices.
        points: What their symbols stand for.
        prior: Which of ``PRIOR_ROWS``.
        escapes: What has no frequency, uint8.
        states: Of the lanes in the beginning, uint32.
        words: uint16; the states, the words themselves, and a zero for each lane.
    """

    arrangement: Arrangement
    points: Points
    prior: int
    escapes: NDArray[np.uint8]
    states: NDArray[np.uint32]
    words: NDArray[np.uint16]

    @property
    def total(self) -> int:
        """How many classes and symbols are coded."""
        return coded_symbols(self.arrangement)

    @property
    def words_end(self) -> int:
        """Where words end."""
        return len(self.words) - len(self.states)


def coded_symbols(arrangement: Arrangement) -> int:
    """Return how many symbols a stream has, classes of rows among them."""
    return int(arrangement.classes.sum()) + arrangement.symbols


def join_stream(
    prior: int,
    escapes: NDArray[np.uint8],
    states: NDArray[np.uint32],
    words: NDArray[np.uint16],
) -> bytes:
    """
    Put a stream together.

    Args:
        prior: Which of ``PRIOR_ROWS``.
        escapes: What has no frequency.
        states: Of all lanes.
        words: In the order that they are read in.

    Returns:
        The bytes.

    """
    count = bytearray()
    left = len(escapes) * len(PRIOR_ROWS) + prior
    while left >> 7:
        count.append(left & 127 | 128)
        left >>= 7
    count.append(left)
    parts = escapes, states.astype("<u4"), words.astype("<u2")
    return bytes(count) + b"".join(part.tobytes() for part in parts)


def split_stream(data: bytes, arrangement: Arrangement, points: Points) -> Stream:
    """
    Take a stream apart.

    Args:
        data: Any bytes.
        arrangement: Of its matrices, which have symbols.
        points: What these stand for.

    Returns:
        The stream.

    Raises:
        TruncatedError: The bytes end before the words begin, or within one.
        CorruptError: The first number is spelt in a strange way, or a state is too small.

    """
    number, at = _read_number(data)
    count, prior = divmod(number, len(PRIOR_ROWS))
    lanes = lanes_for(arrangement, coded_symbols(arrangement))
    end = at + count
    if len(data) < end + 4 * lanes or (len(data) - end) % 2:
        raise TruncatedError("adaptive: the bytes end early")
    states = np.frombuffer(data, "<u4", lanes, end).astype(np.uint32)
    if (states < LEAST_STATE).any():
        raise CorruptError("adaptive: the state of a lane is too small")
    words = np.frombuffer(data, "<u2", -1, end).astype(np.uint16)
    return Stream(
        arrangement,
        points,
        prior,
        np.frombuffer(data, np.uint8, count, at),
        states,
        np.concatenate([words, np.zeros(lanes, np.uint16)]),
    )


def _read_number(data: bytes) -> tuple[int, int]:
    """Return the number that a stream begins with, and how many bytes it takes."""
    value = 0
    for i, byte in enumerate(data[:MAX_NUMBER_BYTES]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            if byte == 0 and i > 0:
                raise CorruptError("adaptive: the first number ends in a zero")
            return value, i + 1
    if len(data) < MAX_NUMBER_BYTES:
        raise TruncatedError("adaptive: the bytes end early")
    raise CorruptError("adaptive: the first number has no end")


def follow_classes(differences: NDArray[np.int32], arrangement: Arrangement) -> Integers:
    """
    Return the classes of rows.

    Args:
        differences: Of each to what was expected, one matrix after the other.
        arrangement: Of the matrices.

    Returns:
        int64: how many eighths of an octave each is above the lowest one.

    Raises:
        CorruptError: A class is out of range.

    """
    eighths, at = [], 0
    for cols, count in zip(arrangement.cols.tolist(), arrangement.classes.tolist(), strict=True):
        coarseness = 3 - class_bits(cols)
        chosen = trend = 0
        for i, difference in enumerate(differences[at : at + count].tolist()):
            chosen = (trend + 8 >> 4) + difference
            trend = chosen << 4 if i == 0 else trend + ((chosen << 4) - trend >> 3)
            eighths.append((chosen << coarseness) - LOWEST_CLASS)
        at += count
    found = np.array(eighths, np.int64)
    if ((found < 0) | (found > HIGHEST_CLASS - LOWEST_CLASS)).any():
        raise CorruptError("adaptive: the class of a row is out of range")
    return found


def check_end(stream: Stream, *, position: int, furthest: int, escapes: int) -> None:
    """
    Check that a stream ends where its symbols do.

    Args:
        stream: All of which was decoded; what lanes gave back is in its words.
        position: Where the next word would be read.
        furthest: Where at most.
        escapes: How many were read.

    Raises:
        CorruptError: Something is left over.

    """
    end = stream.words_end
    if furthest < end or stream.words[position:end].any() or escapes < len(stream.escapes):
        raise CorruptError("adaptive: bytes are left over")
