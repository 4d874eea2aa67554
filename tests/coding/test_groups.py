"""Samples of stream groups are of the size asked for, and spread over all parts."""

import numpy as np
import pytest

from artpack.coding.groups import STRIPE_ROWS, StreamGroup
from artpack.stages.symbols import Symbols


def numbered(rows: int, cols: int, first: int = 0) -> Symbols:
    """Return rows that say where they are."""
    rows_first = (first + np.arange(rows)) % 256
    return np.repeat(rows_first[:, None], cols, axis=1).astype(np.uint8)


@pytest.mark.parametrize("shapes", [[(4000, 50)], [(300, 50)] * 12, [(5000, 1)] * 3, [(1, 90_000)]])
def test_a_sample_has_about_the_size_asked_for(shapes: list[tuple[int, int]]) -> None:
    group = StreamGroup(tuple(numbered(*shape) for shape in shapes), 256)
    sample = group.sample(10_000)
    assert 0.8 * 10_000 <= sample.symbols <= 1.2 * 10_000
    assert sample.alphabet == 256


def test_a_small_group_is_its_own_sample() -> None:
    group = StreamGroup((numbered(10, 10),), 256, states=4)
    assert group.sample(100) is group


def test_stripes_come_from_the_beginning_and_the_end_and_are_not_cut_up() -> None:
    (part,) = StreamGroup((numbered(256, 100),), 256).sample(2 * STRIPE_ROWS * 100).parts
    first = part[:, 0].astype(int)
    assert first[0] == 0
    assert first[-1] == 255
    assert np.count_nonzero(np.diff(first) != 1) == 1


def test_of_many_parts_a_few_are_taken_with_enough_rows() -> None:
    group = StreamGroup(tuple(numbered(200, 50, first=i) for i in range(40)), 256)
    sample = group.sample(20_000)
    assert {len(part) >= STRIPE_ROWS for part in sample.parts} == {True}
    assert sample.parts[0][0, 0] == 0
    assert len(sample.parts) > 1
