"""A treemap in exact fractions: nothing here is approximate."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

import pytest
from artpack_cli.page.treemap import Box, squarify

SIZES = (
    [1],
    [5, 5, 5, 5],
    [6, 6, 4, 3, 2, 2, 1],
    list(range(40, 0, -1)),
    [3, 100, 1, 1, 50, 2],
    [2**45, 2**20, 3, 1],
)
each = pytest.mark.parametrize("sizes", SIZES, ids=str)
either = pytest.mark.parametrize("box", [(2, 3, 1200, 560), (0, 0, 7, 90)], ids=["wide", "tall"])


def divided(sizes: Sequence[int], box: tuple[int, int, int, int]) -> list[Box]:
    boxes: list[Box] = squarify(sizes, Box(*map(Fraction, box)))
    return boxes


@each
@either
def test_areas_are_proportional_to_sizes(sizes: list[int], box: tuple[int, int, int, int]) -> None:
    unit = Fraction(box[2] * box[3], sum(sizes))
    assert [b.width * b.height for b in divided(sizes, box)] == [size * unit for size in sizes]


@each
@either
def test_no_box_overlaps_another_or_leaves_the_whole(
    sizes: list[int], box: tuple[int, int, int, int]
) -> None:
    x, y, width, height = box
    boxes = divided(sizes, box)
    for b in boxes:
        assert x <= b.x < b.x + b.width <= x + width
        assert y <= b.y < b.y + b.height <= y + height
    for a, b in combinations(boxes, 2):
        apart_x = a.x + a.width <= b.x or b.x + b.width <= a.x
        apart_y = a.y + a.height <= b.y or b.y + b.height <= a.y
        assert apart_x or apart_y


def test_the_example_of_the_paper_comes_out_as_printed_there() -> None:
    left = [(3, 2), (3, 2)]
    upper = [(Fraction(12, 7), Fraction(7, 3)), (Fraction(9, 7), Fraction(7, 3))]
    lower = [(Fraction(width, 5), Fraction(5, 3)) for width in (6, 6, 3)]
    boxes = divided([6, 6, 4, 3, 2, 2, 1], (0, 0, 6, 4))
    assert [(b.width, b.height) for b in boxes] == left + upper + lower


def test_a_box_of_nothing_has_no_parts() -> None:
    assert divided([], (0, 0, 6, 4)) == []


def test_a_byte_among_a_terabyte_still_has_an_area() -> None:
    smallest = squarify([2**40, 1], Box(0.0, 0.0, 1200.0, 560.0))[1]
    assert smallest.width * smallest.height > 0
