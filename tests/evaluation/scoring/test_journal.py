"""The journal finds every way to learn too early or to score twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artpack.evaluation.scoring.journal import Fault, Journal


def write(entries: list[tuple[str, int, int]]) -> Journal:
    journal = Journal()
    for kind, first, end in entries:
        getattr(journal, kind)(first, end)
    return journal


@given(st.lists(st.integers(1, 5), min_size=1))
def test_scoring_each_range_and_then_learning_from_all_so_far_is_sound(lengths: list[int]) -> None:
    journal, end = Journal(), 0
    for length in lengths:
        journal.scored(end, end + length)
        end += length
        journal.updated(0, end)
    assert journal.faults(end) == []
    assert journal.times_scored(end).tolist() == [1] * end
    assert len(journal) == 2 * len(lengths)


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([("updated", 0, 4), ("scored", 0, 4)], Fault("learned before it was scored", 0, 4, 0)),
        ([("scored", 0, 4), ("scored", 2, 3)], Fault("scored again", 2, 3, 1)),
        ([("scored", 0, 2), ("scored", 3, 4)], Fault("not scored", 2, 3)),
        (
            [("scored", 0, 2), ("updated", 0, 3), ("scored", 2, 4)],
            Fault("learned before it was scored", 2, 3, 1),
        ),
    ],
)
def test_each_fault_is_named_with_its_place(
    entries: list[tuple[str, int, int]], fault: Fault
) -> None:
    assert write(entries).faults(4) == [fault]


def test_a_journal_can_be_carried_on() -> None:
    before, after = write([("scored", 0, 3)]), Journal()
    after.extend(before.entries())
    after.updated(0, 3)
    assert np.array_equal(after.entries(), [[0, 0, 3], [1, 0, 3]])
