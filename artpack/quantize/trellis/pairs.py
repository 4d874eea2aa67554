"""Trellises in pairs of states whose branches meet, so that loops over states turn into vectors."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artpack.stages.trellis import trellis


class Pairs(NamedTuple):
    """
    A trellis in the order in which vectors go through it.

    The even branch of the state in a place of the first half leads where the odd branch leads
    of the state in the same place of the second half, and the other way round.

    Attributes:
        parities: int32 ``(states,)``: of the points of each state; the same in both halves.
        sources: uint32 ``(states,)``: the place whose even branch leads to a place.
    """

    parities: NDArray[np.int32]
    sources: NDArray[np.uint32]


@cache
def pairs(states: int) -> Pairs:
    """
    Return a trellis in pairs.

    Args:
        states: Of the trellis, more than 1; its first stays in the first place.

    Returns:
        Its tables, read-only.

    >>> [table.tolist() for table in pairs(4)]
    [[0, 1, 0, 1], [0, 2, 1, 3]]

    """
    parities, even, odd = trellis(states).T
    partners = np.argsort(odd)[even]
    first = np.flatnonzero(np.arange(states) < partners)
    order = np.concatenate([first, partners[first]])
    sources = np.argsort(np.argsort(order)[even[order]]).astype(np.uint32)
    found = Pairs(np.ascontiguousarray(parities[order]), sources)
    for table in found:
        table.flags.writeable = False
    return found
