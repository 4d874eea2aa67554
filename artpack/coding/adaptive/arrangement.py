"""
Matrices side by side: the order in which the adaptive coder sees their symbols.

The matrices of a stream stand beside each other, those of most rows first. Their first rows
are one wide row, their second rows the next one, which may be narrower, and so on.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from artpack.coding.adaptive.tables import Integers, class_rows

Symbols = NDArray[np.uint8]
Shapes = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Arrangement:
    """
    How matrices of these shapes stand side by side.

    Attributes:
        order: Which matrix stands where; those without symbols stand nowhere.
        rows: Rows of each matrix, in this order: never more than of the one before.
        cols: Columns of each.
        starts: Where each begins in a wide row, and where the last one ends.
        widths: Symbols of each wide row.
        offsets: How many symbols come before each wide row.
    """

    order: list[int]
    rows: Integers
    cols: Integers
    starts: Integers
    widths: Integers
    offsets: Integers

    @property
    def symbols(self) -> int:
        """How many symbols there are."""
        return int(self.widths.sum())

    @cached_property
    def classes(self) -> Integers:
        """How many classes of rows each matrix has, in this order."""
        return -(-self.rows // self.spans)

    @cached_property
    def spans(self) -> Integers:
        """How many rows of each matrix have a class together."""
        return np.array([class_rows(cols) for cols in self.cols.tolist()], np.int64)

    @cached_property
    def _ends(self) -> list[int]:
        """Return after which rows a matrix ends."""
        ends: list[int] = np.unique(self.rows).tolist()
        return ends

    def blocks(self, at: int) -> Iterator[tuple[slice, slice, int]]:
        """
        Yield the rows of the matrix that stands ``at`` in wide rows of the same width.

        The rows, the symbols of their wide rows, and how wide these are.
        """
        rows = int(self.rows[at])
        for first, last in pairwise([0, *self._ends[: bisect_right(self._ends, rows)]]):
            width, offset = int(self.widths[first]), int(self.offsets[first])
            yield slice(first, last), slice(offset, offset + (last - first) * width), width


def put(matrix: Symbols, arrangement: Arrangement, at: int, wide: Symbols) -> None:
    """
    Write a matrix to where it stands in wide rows.

    Args:
        matrix: Symbols.
        arrangement: Of all matrices.
        at: Where it stands.
        wide: All symbols, wide row by wide row.

    """
    columns = slice(int(arrangement.starts[at]), int(arrangement.starts[at + 1]))
    for rows, symbols, width in arrangement.blocks(at):
        wide[symbols].reshape(-1, width)[:, columns] = matrix[rows]


def take(arrangement: Arrangement, at: int, wide: Symbols) -> Symbols:
    """
    Undo :func:`put`.

    Args:
        arrangement: Of all matrices.
        at: Where one stands.
        wide: All symbols, wide row by wide row.

    Returns:
        The matrix.

    """
    columns = slice(int(arrangement.starts[at]), int(arrangement.starts[at + 1]))
    matrix = np.empty((arrangement.rows[at], arrangement.cols[at]), np.uint8)
    for rows, symbols, width in arrangement.blocks(at):
        matrix[rows] = wide[symbols].reshape(-1, width)[:, columns]
    return matrix


def arrange(shapes: Shapes) -> Arrangement:
    """
    Put matrices side by side.

    Args:
        shapes: Rows and columns of each.

    Returns:
        Where their symbols lie.

    """
    order = [m for m, (rows, cols) in enumerate(shapes) if rows * cols]
    order.sort(key=lambda m: -shapes[m][0])
    rows = np.array([shapes[m][0] for m in order], np.int64)
    cols = np.array([shapes[m][1] for m in order], np.int64)
    starts = np.concatenate([[0], np.cumsum(cols)])
    # As many matrices reach a row as there are with more rows than its number.
    reaching = np.searchsorted(-rows, -np.arange(rows[0]) if order else np.zeros(0), side="left")
    widths = starts[reaching]
    offsets = np.concatenate([[0], np.cumsum(widths)])[:-1]
    return Arrangement(order, rows, cols, starts, widths, offsets)


def lanes_for(arrangement: Arrangement, total: int) -> int:
    """
    Return with how many lanes to begin.

    Args:
        arrangement: Of the matrices.
        total: How many symbols and classes there are.

    Returns:
        1 or more: one for each 8,192 of them, 1,024 at most, shared evenly by a wide row.

    """
    most = min(max(total >> 13, 1), 1024)
    width = int(arrangement.starts[-1])
    return -(-width // -(-width // most))
