"""
How few bits a tensor could take at its distortion: reverse water-filling.

Weights are taken as independent Gaussians of variance ``r_j c_i``, from the mean squares of
their rows and columns. Under the metric ``G x H`` their components of variance are the products
of the eigenvalues of ``R^½ G R^½`` and of ``C^½ H C^½``; each component above the water level
takes half the logarithm of how far it stands out.

Source: Cover and Thomas, "Elements of Information Theory", 10.3.3, in the metric's coordinates.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artpack.quantize.matrix_view import finite_matrix, row_chunks
from artpack.quantize.rounding.watersic import Metric

if TYPE_CHECKING:
    from torch import Tensor

Doubles = NDArray[np.float64]

LEVEL_PRECISION = 1e-9
"""Of the logarithm of the water level."""


def bound_bits(weight: Tensor, back: Tensor, metric: Metric) -> float | None:
    """
    Return what no coder of Gaussian weights can go below.

    Args:
        weight: Floating point, finite, ``(rows, cols)`` as a matrix.
        back: What it was stored as, of the same shape.
        metric: What errors cost.

    Returns:
        Bits for each weight, at the distortion that ``back`` has; None if it has none.

    """
    matrix, decoded = finite_matrix(weight), finite_matrix(back)
    rows, cols = _mean_squares(matrix)
    if not rows.any():
        return None
    row_factor = _factor(metric.rows, metric.row_log2_steps)
    col_factor = _factor(metric.cols, metric.col_log2_steps)
    distortion = _distortion(matrix, decoded, row_factor, col_factor)
    if not distortion:
        return None
    variances = _components(row_factor, rows / rows.mean()), _components(col_factor, cols)
    return rate(*variances, distortion)


def rate(rows: Doubles, cols: Doubles, distortion: float) -> float:
    """
    Fill with water from below.

    Args:
        rows: Shape ``(rows,)``, not negative: components' variances are the products with
        cols: Shape ``(cols,)``, not negative.
        distortion: Sum of the squared errors of all components, above 0.

    Returns:
        Bits for each component; 0 where the distortion is as large as all variances.

    >>> one = np.ones(1)
    >>> round(rate(4 * one, one, 0.25), 6)  # half the logarithm of 16
    2.0
    >>> round(rate(np.array([4.0, 1.0]), one, 2.0), 6)  # the smaller one lies under water
    0.5

    """
    cols = np.sort(cols)
    sums = np.concatenate([[0.0], np.cumsum(cols)])
    with np.errstate(divide="ignore"):
        log_rows, log_cols = np.log2(rows), np.log2(cols)

    def drowned(level: float) -> NDArray[np.intp]:
        """Return how many components of each row lie below the level."""
        return np.searchsorted(log_cols, level - log_rows)

    def lost(level: float) -> float:
        below = drowned(level)
        return float(rows @ sums[below] + 2.0**level * (len(cols) - below).sum())

    high = float(log_rows.max() + log_cols.max())
    if distortion >= lost(high):
        return 0.0
    low = math.log2(distortion / (rows.size * cols.size)) - 1
    while high - low > LEVEL_PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if lost(middle) > distortion else (middle, high)
    below = drowned(high)
    tails = np.append(np.cumsum(log_cols[::-1])[::-1], 0.0)
    left = len(cols) - below
    above = left > 0
    excess = tails[below[above]] + left[above] * (log_rows[above] - high)
    return float(excess.sum() / 2 / (rows.size * cols.size))


def _mean_squares(matrix: Tensor) -> tuple[Doubles, Doubles]:
    """Return those of the rows and of the columns."""
    rows, cols = np.empty(len(matrix)), np.zeros(matrix.shape[1])
    for at in row_chunks((len(matrix), matrix.shape[1])):
        squares = matrix[at].double().square().numpy()
        rows[at] = squares.mean(1)
        cols += squares.sum(0)
    return rows, cols / max(1, len(matrix))


def _factor(triangle: Doubles | None, log2_steps: Doubles) -> Doubles:
    """Return the metric's triangular factor; its diagonal alone where it has no more."""
    diagonal: Doubles = 2.0**-log2_steps
    return diagonal if triangle is None else triangle * diagonal


def _components(factor: Doubles, variances: Doubles) -> Doubles:
    """Return the eigenvalues of the metric in units of standard deviations."""
    if factor.ndim == 1:
        return factor**2 * variances
    scaled = np.sqrt(variances)[:, None] * factor
    return np.linalg.eigvalsh(scaled @ scaled.T).clip(min=0)


def _distortion(matrix: Tensor, decoded: Tensor, rows: Doubles, cols: Doubles) -> float:
    """Return the sum of squares of ``U' E L``."""

    def sideways(at: slice) -> Doubles:
        error: Doubles = (decoded[at].double() - matrix[at].double()).numpy()
        return error * cols if cols.ndim == 1 else error @ cols

    chunks = row_chunks((len(matrix), matrix.shape[1]))
    if rows.ndim == 1:
        return sum(float(np.square(rows[at, None] * sideways(at)).sum()) for at in chunks)
    return float(np.square(rows.T @ np.concatenate([sideways(at) for at in chunks])).sum())
