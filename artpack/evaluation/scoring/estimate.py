"""Estimates: numbers with their standard errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_DRAWS = 1000
BOOTSTRAP_SEED = 0

Sums: TypeAlias = NDArray[np.float64]
"""A row for each document, or their sum: tokens, bytes, and what was measured."""


@dataclass(frozen=True)
class Estimate:
    """
    A number and how sure it is.

    Attributes:
        value: The number.
        stderr: Standard error by resampling documents; None with fewer than two.
    """

    value: float
    stderr: float | None


def bootstrap_errors(sums: Sums, numbers: Callable[[Sums], Sums]) -> list[float | None]:
    """
    Resample documents with replacement and see how far the numbers spread.

    Documents, not tokens, are drawn, because tokens of one document are alike.

    Args:
        sums: A row for each document, float64, shape (D, columns); column 1 is bytes.
        numbers: From totals (..., columns) to numbers (..., n).

    Returns:
        A standard error for each number; None with fewer than two documents of text.

    """
    count = len(sums)
    if np.count_nonzero(sums[:, 1]) < 2:
        return [None] * len(numbers(sums.sum(0)))
    draw = np.random.default_rng(BOOTSTRAP_SEED)
    times = (
        np.bincount(draw.integers(count, size=count), minlength=count)
        for _ in range(BOOTSTRAP_DRAWS)
    )
    totals = np.array([t @ sums for t in times])
    # A draw of nothing but documents without text has no bits per byte.
    totals = totals[totals[:, 1] > 0]
    return [float(error) for error in numbers(totals).std(axis=0, ddof=1)]
