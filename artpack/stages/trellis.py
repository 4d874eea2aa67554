"""
Trellises: which of two interleaved grids each next point must lie on.

The points are whole numbers. In every state of a trellis only the even ones or only
the odd ones may be used, so a point costs one bit less than on the full grid; which
state comes next depends on the point, so a search can still come close to any
sequence of weights. Quantizer and coder walk the same tables.

The symbol of a point ``n`` in a state of parity ``p`` is ``k = (n - p) / 2``, and
``k & 1`` chooses the next state.

Source: Ungerboeck, "Channel coding with multilevel/phase signals" (1982), the rate 1/2
codes of his table for amplitude modulation; entropy-coded trellis-coded quantization as
in Fischer and Wang (1992).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError

POLYNOMIALS = {
    4: (0o5, 0o2),
    8: (0o13, 0o4),
    16: (0o23, 0o4),
    32: (0o45, 0o10),
    64: (0o103, 0o24),
    128: (0o235, 0o126),
    256: (0o515, 0o362),
}
"""Number of states to parity-check polynomials h0 and h1."""


@cache
def trellis(states: int) -> NDArray[np.int32]:
    """
    Make the table of a trellis.

    Args:
        states: 1, the plain grid, or 4, 8, ..., 256.

    Returns:
        int32, shape ``(states, 3)``, read-only: the parity of the points of a state, and the
        states that follow an even and an odd ``k``. State 0 is where to begin.
        With one state the points are ``k`` itself: see :func:`spacing`.

    Raises:
        UsageError: There is no such trellis.

    >>> trellis(4).tolist()
    [[0, 0, 2], [0, 2, 0], [1, 1, 3], [1, 3, 1]]

    """
    if states == 1:
        table = np.zeros((1, 3), np.int32)
    elif states in POLYNOMIALS:
        table = np.array([_row(state, *_taps(states)) for state in range(states)], np.int32)
    else:
        known = ", ".join(map(str, (1, *POLYNOMIALS)))
        raise UsageError(f"no trellis of {states} states: there are {known}")
    table.flags.writeable = False
    return table


def spacing(states: int) -> int:
    """
    Return how far apart the points of one state are.

    Args:
        states: As for :func:`trellis`.

    Returns:
        1 on the plain grid, else 2: a point is ``spacing * k + parity``.

    """
    return 1 if states == 1 else 2


@cache
def taps(states: int) -> NDArray[np.int32]:
    """
    Tell how a trellis goes on, without its table.

    Args:
        states: As for :func:`trellis`.

    Returns:
        int32: ``mask, bit, of_parity, of_symbol``. The parity of a state is its bit ``bit``. The
        next state is the state times two, ``& mask``, ``|`` the parity, exclusive-or
        ``of_parity`` if that is odd, exclusive-or ``of_symbol`` if ``k`` is. All are 0 where
        there is no trellis.

    >>> taps(8).tolist()
    [7, 2, 2, 4]

    """
    table = trellis(states)
    if states == 1:
        found = np.zeros(4, np.int32)
    else:
        bit = states.bit_length() - 2
        found = np.array([states - 1, bit, table[1 << bit, 1] ^ 1, table[0, 2]], np.int32)
    found.flags.writeable = False
    return found


def _taps(states: int) -> tuple[int, int, int]:
    h0, h1 = POLYNOMIALS[states]
    return states.bit_length() - 1, h0, h1


def _row(state: int, bits: int, h0: int, h1: int) -> tuple[int, int, int]:
    """
    Return parity and successors of a state.

    Bit ``i - 1`` of a state is the delay element ``w_i``. The last one is the parity of
    the point; it enters the first, and every other takes its predecessor plus the taps
    of ``h0`` on the parity and of ``h1`` on the point's second bit.
    """
    parity = state >> (bits - 1) & 1
    shifted = (state << 1 & ((1 << bits) - 1)) | parity
    for i in range(1, bits):
        shifted ^= (h0 >> i & 1 & parity) << i
    odd = shifted
    for i in range(1, bits):
        odd ^= (h1 >> i & 1) << i
    return parity, shifted, odd
