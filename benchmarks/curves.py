"""What a method has where another one is: interpolation along rate-distortion curves."""

from collections.abc import Sequence

import numpy as np

from benchmarks.report import Row


def share_at(row: Row, curve: Sequence[Row], equal: str, compared: str) -> float | str:
    """
    Interpolate a curve at a row and say what it has there, as a share of what the row has.

    Args:
        row: Of another method.
        curve: Rows of one method.
        equal: The column in which both are to be equal.
        compared: The column that is compared.

    Returns:
        The curve's ``compared`` over the row's, by lines through logarithms; empty where
        the curve does not reach or a number is not above 0.

    """
    known = [point for point in curve if min(float(point[equal]), float(point[compared])) > 0]
    if len(known) < 2 or min(float(row[equal]), float(row[compared])) <= 0:
        return ""
    xs, ys = (np.log([float(point[name]) for point in known]) for name in (equal, compared))
    at, order = np.log(float(row[equal])), np.argsort(xs)
    if not xs.min() <= at <= xs.max():
        return ""
    there = float(np.exp(np.interp(at, xs[order], ys[order])))
    return round(there / float(row[compared]), 3)
