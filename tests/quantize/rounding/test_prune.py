"""Codes of one that are zeroed until a file is small enough."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from artpack.quantize.rounding.prune import rows_with_ones, zero_ones

STEPS = {"b": torch.tensor([2.0, 1.0, 3.0]), "a": torch.tensor([1.0, 4.0, 1.0])}


def codes() -> dict[str, Tensor]:
    """Return three rows of two tensors, each with two ones but one."""
    rows = torch.tensor([[1, -1, 5], [3, 1, -1], [-1, 7, 1]], dtype=torch.int8)
    return {"b": rows.clone(), "a": torch.where(torch.arange(3)[:, None] == 1, 0, rows)}


def sizes(*answers: int) -> Callable[[], int]:
    """Return a function that gives one answer after another."""
    left: Iterator[int] = iter(answers)
    return lambda: next(left)


def zeroed(held: dict[str, Tensor]) -> list[tuple[str, int]]:
    """Return the rows that have lost their ones."""
    return [
        (name, row)
        for name, matrix in held.items()
        for row in range(3)
        if codes()[name][row].ne(held[name][row]).any() and not (matrix[row].abs() == 1).any()
    ]


def test_rows_with_equal_steps_keep_the_order_of_the_tensors() -> None:
    found = [(row.name, row.number, row.ones) for row in rows_with_ones(codes(), STEPS)]
    assert found == [("b", 1, 2), ("a", 0, 2), ("a", 2, 2), ("b", 0, 2), ("b", 2, 2)]


def test_a_batch_that_does_not_help_is_undone_and_two_of_them_are_the_end() -> None:
    held = codes()
    answers = sizes(100, 90, 90, 80, 85, 81)
    assert zero_ones(held, STEPS, answers, limit_bytes=0, batch_rows=1, most=1.0) == 2
    assert zeroed(held) == [("b", 1), ("a", 2)]
    assert held["a"][0].equal(codes()["a"][0])


def test_it_ends_as_soon_as_the_file_is_small_enough() -> None:
    held = codes()
    assert zero_ones(held, STEPS, sizes(100, 90, 80), limit_bytes=80, batch_rows=1) == 2
    assert zero_ones(held, STEPS, sizes(80), limit_bytes=80, batch_rows=1) == 0


@pytest.mark.parametrize(("most", "rows"), [(0.0, 0), (0.1, 2), (0.4, 2), (0.5, 4), (1.0, 5)])
def test_the_share_may_be_passed_by_a_batch_and_the_last_may_be_short(
    most: float, rows: int
) -> None:
    held = codes()
    answers = sizes(*range(100, 0, -1))
    assert zero_ones(held, STEPS, answers, limit_bytes=0, batch_rows=2, most=most) == rows
