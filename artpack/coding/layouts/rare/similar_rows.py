"""Rows that resemble each other next to each other."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from artpack.coding.layouts.checked_layout import CheckedLayout
from artpack.coding.layouts.rare.permutation import (
    pack_permutation,
    permutation_bytes,
    unpack_permutation,
)
from artpack.errors import CorruptError, UsageError
from artpack.stages.symbols import Symbols

MAX_ROWS = 1 << 15
"""The time to read a permutation grows with the square of its length; so many take seconds."""


@dataclass(frozen=True)
class SimilarRows(CheckedLayout):
    """
    Column by column, after the rows were sorted by similarity.

    The first row stays first. After it comes, again and again, the row nearest to
    the one just placed: by the sum of absolute differences, the first one of equals.
    So a codec finds runs along the columns. Worth its side information, the order
    of the rows in about ``rows * log2(rows / 2.72)`` bits, only where rows do
    resemble each other.

    Placing the rows takes time in proportion to ``rows**2 * cols``: some seconds
    for 8192 rows of 512.

    >>> side, symbols = SimilarRows().forward(np.array([[1, 1], [9, 9], [2, 1]], dtype=np.uint8))
    >>> side.hex(), symbols.tolist()
    ('01', [1, 2, 9, 1, 1, 9])

    Source: the parameter-golf submission PR 1934, which stores the order as 16-bit
    numbers.

    """

    stage_id: ClassVar[str] = "similar-rows"

    def side_bytes(self, shape: tuple[int, int]) -> int:
        """
        Return how many bytes the order of the rows takes.

        Args:
            shape: Rows and columns of the part.

        Returns:
            ``ceil(log2(rows!) / 8)``.

        Raises:
            CorruptError: More rows than any that ``forward`` takes.

        """
        if shape[0] > MAX_ROWS:
            raise CorruptError(f"similar-rows: {shape[0]} rows, more than {MAX_ROWS}")
        return permutation_bytes(shape[0])

    def _forward(self, symbols: Symbols) -> tuple[bytes, Symbols]:
        if len(symbols) > MAX_ROWS:
            raise UsageError(
                f"similar-rows: takes up to {MAX_ROWS} rows, got {len(symbols)}: use another layout"
            )
        order = _similarity_order(symbols)
        return pack_permutation(order), symbols[order].T.reshape(-1)

    def _inverse(self, side: bytes, symbols: Symbols, shape: tuple[int, int]) -> Symbols:
        restored = np.empty(shape, dtype=np.uint8)
        restored[unpack_permutation(side, shape[0])] = symbols.reshape(shape[::-1]).T
        return restored


def _similarity_order(symbols: Symbols) -> list[int]:
    rows = len(symbols)
    order = [0] if rows else []
    waiting, numbers = symbols[1:].copy(), np.arange(1, rows)
    # Made once: to ask for this much memory every time would cost more than its use.
    larger, smaller = np.empty_like(waiting), np.empty_like(waiting)
    for left in range(rows - 1, 0, -1):
        last = symbols[order[-1]]
        np.maximum(waiting[:left], last, out=larger[:left])
        np.minimum(waiting[:left], last, out=smaller[:left])
        # The absolute differences, without widening bytes to sixteen bits.
        larger[:left] -= smaller[:left]
        # 32 bits are quicker, and enough for 16 million columns.
        distances = larger[:left].sum(axis=1, dtype=np.uint32).astype(np.int64)
        nearest = int((distances * rows + numbers[:left]).argmin())
        order.append(int(numbers[nearest]))
        waiting[nearest], numbers[nearest] = waiting[left - 1], numbers[left - 1]
    return order
