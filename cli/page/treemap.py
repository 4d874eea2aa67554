"""
Boxes whose areas are proportional to sizes: a squarified treemap.

Source: Bruls, Huizing and van Wijk, "Squarified Treemaps", 2000.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """
    A rectangle.

    Attributes:
        x: Left edge.
        y: Upper edge.
        width: To the right.
        height: Downwards.
    """

    x: float
    y: float
    width: float
    height: float


def squarify(sizes: Sequence[int], box: Box) -> list[Box]:
    """
    Divide a box in proportion to sizes, into boxes close to squares.

    Args:
        sizes: All above 0; the closer to descending order, the squarer the boxes.
        box: What is divided, of an area above 0.

    Returns:
        A box for each size; together they cover ``box`` without overlap.

    >>> for part in squarify([6, 3, 3], Box(0, 0, 6, 4)):
    ...     print(*part)
    0.0 0.0 3.0 4.0
    3.0 0.0 3.0 2.0
    3.0 2.0 3.0 2.0

    """
    boxes: list[Box] = []
    start, left = 0, sum(sizes)
    while left:
        row = _row(sizes[start:], left, box)
        wide = box.width > box.height
        strip, box = _cut(box, (sum(row), left - sum(row)), wide=wide)
        boxes += _cut(strip, row, wide=not wide)
        start += len(row)
        left -= sum(row)
    return boxes


def _row(sizes: Sequence[int], left: int, box: Box) -> Sequence[int]:
    """Return the sizes that, side by side along the shorter edge, are closest to squares."""
    flatness = left * min(box.width, box.height) / max(box.width, box.height)
    total, largest, smallest, best = 0, sizes[0], sizes[0], math.inf
    for count, size in enumerate(sizes):
        total, largest, smallest = total + size, max(largest, size), min(smallest, size)
        # The box of a size is `size * aspect` times as long along the edge as across it.
        aspect = flatness / total**2
        worst = max(largest * aspect, 1 / (smallest * aspect))
        if worst > best:
            return sizes[:count]
        best = worst
    return sizes


def _cut(box: Box, sizes: Sequence[int], *, wide: bool) -> list[Box]:
    """Cut a box into slices, side by side if ``wide``, else one below the other."""
    total, done = sum(sizes), 0
    slices = []
    for size in sizes:
        # Multiplied, never subtracted: what is left of a box keeps its precision.
        if wide:
            x, width = box.x + box.width * done / total, box.width * size / total
            slices.append(Box(x, box.y, width, box.height))
        else:
            y, height = box.y + box.height * done / total, box.height * size / total
            slices.append(Box(box.x, y, box.width, height))
        done += size
    return slices
