"""
The order in which an adapting evaluation scored targets and learned from them.

The loop itself writes it, one entry a range of targets, so that anybody can check
afterwards what was known when. Positions are targets of the stream: target i is
token i + 1, and a range is ``first`` to ``end``, without ``end``.
"""

from array import array
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SCORED, UPDATED = 0, 1


class Fault(NamedTuple):
    """
    What is wrong with a journal.

    Attributes:
        why: ``not scored``, ``scored again`` or ``learned before it was scored``.
        first: First target of a range that it is true of.
        end: Where that range ends.
        entry: Number of the entry that is at fault; None where one is missing.
    """

    why: str
    first: int
    end: int
    entry: int | None = None


class Journal:
    """
    Entries in the order in which things happened, 24 bytes each.

    >>> journal = Journal()
    >>> journal.scored(0, 4)
    >>> journal.updated(0, 6)
    >>> journal.scored(4, 8)
    >>> journal.faults(targets=9)
    [Fault(why='not scored', first=8, end=9, entry=None), \
Fault(why='learned before it was scored', first=4, end=6, entry=1)]
    """

    def __init__(self) -> None:
        self._entries = array("q")

    def __len__(self) -> int:
        return len(self._entries) // 3

    def scored(self, first: int, end: int) -> None:
        """Write down that targets ``first`` to ``end`` have just been scored."""
        self._entries.extend((SCORED, first, end))

    def updated(self, first: int, end: int) -> None:
        """Write down that something has just learned from targets ``first`` to ``end``."""
        self._entries.extend((UPDATED, first, end))

    def entries(self) -> NDArray[np.int64]:
        """Return all entries: :data:`SCORED` or :data:`UPDATED`, first, end; int64, (n, 3)."""
        return np.array(self._entries, np.int64).reshape(-1, 3)

    def extend(self, entries: NDArray[np.int64]) -> None:
        """Take over what another journal has written, (n, 3), as if it came after this."""
        self._entries.extend(entries.ravel().tolist())

    def times_scored(self, targets: int) -> NDArray[np.int64]:
        """Return how often each target was scored: int64, shape (targets,)."""
        kind, first, end = self.entries().T
        begins = np.bincount(first[kind == SCORED], minlength=targets + 1)
        ends = np.bincount(end[kind == SCORED], minlength=targets + 1)
        times: NDArray[np.int64] = np.cumsum(begins - ends)[:targets]
        return times

    def faults(self, targets: int) -> list[Fault]:
        """
        Check that each target was scored exactly once, and before anything learned from it.

        Args:
            targets: Predictable tokens of the stream, its length minus 1.

        Returns:
            What is wrong, one fault for each range and entry; empty if nothing is.

        """
        times = self.times_scored(targets)
        missing = [Fault("not scored", first, end) for first, end in ranges(times == 0)]
        return missing + list(self._out_of_order(targets))

    def _out_of_order(self, targets: int) -> Iterator[Fault]:
        seen = np.zeros(targets, np.bool_)
        for number, (kind, first, end) in enumerate(self.entries().tolist()):
            part = seen[first:end]
            why = "scored again" if kind == SCORED else "learned before it was scored"
            wrong = part if kind == SCORED else ~part
            if wrong.any():
                for low, high in ranges(wrong):
                    yield Fault(why, first + low, first + high, number)
            if kind == SCORED:
                part[:] = True


def ranges(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """
    Find where a mask is true.

    Args:
        mask: One-dimensional.

    Returns:
        First index and end of each run of true values.

    >>> ranges(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]

    """
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
