"""What a method has where another one is: interpolation along rate-distortion curves."""

from collections.abc import Sequence

import numpy as np

from benchmarks.report import Row

STDERR = {"kl_nats": "kl_stderr", "bpb_increase": "bpb_stderr"}
"""Losses, and the columns of their standard errors."""


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
        the curve does not reach or a loss is less than twice its standard error.

    """
    known = [point for point in curve if _is_sure(point, equal) and _is_sure(point, compared)]
    if not known or not _is_sure(row, equal) or not _is_sure(row, compared):
        return ""
    xs, ys = (np.log([float(point[name]) for point in known]) for name in (equal, compared))
    at, order = np.log(float(row[equal])), np.argsort(xs)
    if not xs.min() <= at <= xs.max():
        return ""
    there = float(np.exp(np.interp(at, xs[order], ys[order])))
    return round(there / float(row[compared]), 3)


def _is_sure(row: Row, name: str) -> bool:
    error = float(row[STDERR[name]]) if name in STDERR else 0.0
    return float(row[name]) > 2 * error
