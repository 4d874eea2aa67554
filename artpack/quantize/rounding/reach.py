"""Steps of rows and columns that reach their weights: codes end at a lattice's radius."""

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.quantize.grids.lattice import MAX_OCTAVES, MAX_SPAN, Lattice
from artpack.stages.trellis import spacing

Doubles = NDArray[np.float64]

HEADROOM = 0.9
"""Share of the radius that weights take: the rest is for what is fed back to them."""

WITHIN = 0.99
"""Share of a column that its steps must reach; for what is left, rows have larger ones."""

FAR_OFF = 8.0
"""A row that is mostly so many times beyond reach is left out of that: only its steps help."""

TINY = 1e-30
"""Keeps logarithms of what is 0 finite."""


def coarser(columns: NDArray[np.float32], cols: Doubles, rows: Doubles, lattice: Lattice) -> float:
    """
    Tell what it costs that some steps must be larger than they should be.

    Args:
        columns: float32, shape ``(cols, rows)``: the transposed weights, finite.
        cols: Logarithms to base 2 of the steps that columns should have, float64 ``(cols,)``.
        rows: Of rows, ``(rows,)``.
        lattice: What weights are stored as.

    Returns:
        How many times larger the squared errors are, about: 1 or more.

    """
    wider = _reaching_cols(columns, cols, rows, lattice)
    finest = _finest_rows(columns, np.exp2(wider), lattice)
    by_cols, by_rows = (4.0 ** np.maximum(more, 0) for more in (wider - cols, finest - rows))
    return float(by_cols.mean() * by_rows.mean())


def _reach(lattice: Lattice) -> float:
    """Return how many steps a weight may have."""
    return spacing(lattice.states) * lattice.radius * HEADROOM


def _reaching_cols(
    columns: NDArray[np.float32], col_log2_steps: Doubles, row_log2_steps: Doubles, lattice: Lattice
) -> Doubles:
    """Return steps of columns, larger where their rows' steps would not reach their weights."""
    farthest = _reach(lattice) * np.exp2(row_log2_steps)
    beyond = np.zeros(len(farthest), np.int32)
    for column, step in zip(columns, np.exp2(col_log2_steps), strict=True):
        beyond += np.abs(column) > FAR_OFF * step * farthest
    farthest[2 * beyond > len(columns)] = np.inf
    return np.array(
        [
            max(step, _reaching(column, step, farthest))
            for column, step in zip(columns, col_log2_steps, strict=True)
        ]
    )


def col_scales(
    columns: NDArray[np.float32], col_log2_steps: Doubles, row_log2_steps: Doubles, lattice: Lattice
) -> NDArray[np.int32]:
    """
    Choose the scales of columns, larger where their rows' steps would not reach their weights.

    Args:
        columns: float32, shape ``(cols, rows)``: the transposed weights, finite.
        col_log2_steps: Logarithms to base 2 of the steps that columns should have, float64.
        row_log2_steps: Of rows.
        lattice: What weights are stored as.

    Returns:
        int32 ``(cols,)``: logarithms in steps of the lattice's resolution.

    """
    steps = _reaching_cols(columns, col_log2_steps, row_log2_steps, lattice)
    cols = np.rint(steps * lattice.resolution).astype(np.int32)
    near: NDArray[np.int32] = np.minimum(cols, cols.min() + MAX_SPAN)
    return near


def _finest_rows(columns: NDArray[np.float32], col_steps: Doubles, lattice: Lattice) -> Doubles:
    """Return the logarithms of the finest steps of rows that reach all weights."""
    widest = np.full(columns.shape[1], TINY)
    for column, step in zip(columns, col_steps, strict=True):
        np.maximum(widest, np.abs(column) / step, out=widest)
    finest: Doubles = np.log2(widest / _reach(lattice))
    return finest


def _reaching(column: NDArray[np.float32], log2_step: float, farthest: Doubles) -> float:
    """Return the logarithm of the step that reaches most weights, if the one given does not."""
    sizes = np.abs(column) / farthest
    if sizes.max() <= np.exp2(log2_step):
        return log2_step
    return float(np.log2(np.quantile(sizes, WITHIN) + TINY))


def row_scales(
    columns: NDArray[np.float32],
    row_log2_steps: Doubles,
    cols: NDArray[np.int32],
    lattice: Lattice,
) -> NDArray[np.int32]:
    """
    Choose the scales of rows, larger where the columns' steps do not reach their weights.

    Args:
        columns: float32, shape ``(cols, rows)``: the transposed weights, finite.
        row_log2_steps: Logarithms to base 2 of the steps that rows should have, float64.
        cols: Scales of the columns, as :func:`col_scales` returns them.
        lattice: What weights are stored as.

    Returns:
        int32 ``(rows,)``: logarithms in steps of the lattice's resolution.

    Raises:
        UsageError: A weight is too large.

    """
    finest = _finest_rows(columns, np.exp2(cols / lattice.resolution), lattice)
    exact = np.maximum(row_log2_steps, finest) * lattice.resolution
    most = MAX_OCTAVES * lattice.resolution
    wanted = apportion(exact.clip(-most - cols.min(), most - cols.max()))
    needed = np.rint(finest * lattice.resolution).astype(np.int32)
    rows: NDArray[np.int32] = np.maximum(wanted, needed)
    if rows.max() + cols.max() > most:
        largest = np.abs(columns).max()
        raise UsageError(f"a weight of {largest:g} is too large for a lattice: store it as raw")
    return rows


def apportion(exact: Doubles) -> NDArray[np.int32]:
    """
    Round numbers so that their sum stays what it was, to half of one.

    Were each rounded alone, rows of one step would all change it at once, and the size of
    a file would jump by an eighth of a bit for every weight.

    Args:
        exact: The numbers, float64.

    Returns:
        int32: each rounded down, or up where it has one of the largest fractions.

    >>> apportion(np.array([0.3, 0.3, 0.3, 2.6])).tolist()
    [1, 0, 0, 3]

    """
    whole = np.floor(exact)
    rest = exact - whole
    whole[np.argsort(-rest, kind="stable")[: round(rest.sum())]] += 1
    return whole.astype(np.int32)
