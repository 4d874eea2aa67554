"""
PR 2086's orders of five-level codes in a payload.

======  ==========================================================
layout  payload
======  ==========================================================
0       an archive of ``torch.save`` with one tensor, not codes
1       three codes a byte, base 5, row by row
2       the same, column by column
3       planes of bits, row by row: zeros, signs, magnitudes
4       the same, column by column
======  ==========================================================

Source: parameter-golf pull request 2086.
"""

from typing import Any

import numpy as np

from artpack.coding.symbol_coders import Base5, Planes
from artpack.errors import CorruptError
from artpack.interop.fields import shown
from artpack.stages import SymbolCoder
from artpack.stages.symbols import Symbols

RAW = 0
LEVELS = 5
ZERO = 2
"""The symbol of the code 0."""

LAYOUTS: dict[int, tuple[SymbolCoder, bool]] = {
    1: (Base5(), False),
    2: (Base5(), True),
    3: (Planes(), False),
    4: (Planes(), True),
}
"""Layout to coder, and whether the matrix is transposed."""


def lay_out(symbols: Symbols, layout: int) -> bytes:
    """
    Put codes into one of the orders.

    Args:
        symbols: uint8 below 5, a matrix; 2 is the code 0.
        layout: 1 to 4.

    Returns:
        The payload.

    >>> lay_out(np.array([[0, 1, 2], [3, 4, 2]], np.uint8), 1).hex(" ")
    '37 49'

    """
    coder, turned = LAYOUTS[layout]
    return coder.encode((symbols.T if turned else symbols).ravel(), alphabet=LEVELS)


def take_up(payload: bytes, layout: object, shape: tuple[int, int]) -> Symbols:
    """
    Undo :func:`lay_out`.

    Args:
        payload: The bytes.
        layout: 1 to 4.
        shape: Rows and columns of the matrix.

    Returns:
        uint8 below 5, of that shape.

    Raises:
        TruncatedError: The payload ends early.
        CorruptError: There is no such layout, or the payload does not fit it.

    """
    if type(layout) is not int or layout not in LAYOUTS:
        raise CorruptError(f"five-level codes in the unknown layout {shown(layout)}")
    coder, turned = LAYOUTS[layout]
    rows, cols = shape
    symbols = coder.decode(payload, alphabet=LEVELS, count=rows * cols)
    if turned:
        return np.ascontiguousarray(symbols.reshape(cols, rows).T)
    return symbols.reshape(rows, cols)


def describe(symbols: Symbols, layout: int) -> dict[str, Any]:
    """
    Say what the container notes beside a payload.

    Args:
        symbols: uint8 below 5, a matrix.
        layout: 1 to 4.

    Returns:
        How many codes there are, and in planes also how many are not zero.

    """
    if not isinstance(LAYOUTS[layout][0], Planes):
        return {"n_quins": symbols.size}
    return {"n_total": symbols.size, "n_nonzero": int(np.count_nonzero(symbols != ZERO))}
