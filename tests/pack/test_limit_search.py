"""The search stays within its limit, comes close to it, and does so in few trials."""

import math
from collections.abc import Callable

import pytest

from artpack.pack.limit_search import MAX_TRIALS, SearchResult, search

WEIGHTS = 6_000_000


def bytes_at(log_step: float) -> float:
    """Return a size that falls as theory says, bends a little, and has a floor."""
    bits = max(0.3, 3.3 - log_step + 0.05 * max(0.0, log_step) ** 2)
    return WEIGHTS / 8 * bits


def find(
    limit: float, measure: Callable[[float], float] = bytes_at, *, first: float = 0.0
) -> SearchResult[float]:
    return search(
        lambda at: (measure(at), at),
        limit=limit,
        tolerance=limit / 2000,
        first=first,
        slope=-WEIGHTS / 8,
        bounds=(-4.0, 6.0),
    )


@pytest.mark.parametrize("bits", [0.5, 1.0, 2.3, 3.3, 5.0])
def test_it_ends_just_below_the_limit(bits: float) -> None:
    limit = WEIGHTS / 8 * bits
    found = find(limit)
    assert found.best is not None
    assert 0.9995 * limit <= found.best.value <= limit
    assert found.result == found.best.at
    assert len(found.points) <= 7


def test_values_in_a_straight_line_take_two_trials() -> None:
    found = find(WEIGHTS / 4, lambda at: WEIGHTS / 8 * (3.3 - at))
    assert len(found.points) == 2


def test_a_limit_below_every_value_finds_nothing_and_tells_the_smallest() -> None:
    found = find(WEIGHTS / 8 * 0.2)
    assert found.best is None
    assert found.result is None
    assert min(point.value for point in found.points) == bytes_at(6.0)


def test_a_limit_above_every_value_ends_at_the_bound() -> None:
    found = find(WEIGHTS * 8)
    assert found.best is not None
    assert found.best.at == -4.0


def test_a_jump_over_the_limit_ends_below_it() -> None:
    found = find(WEIGHTS / 4, lambda at: WEIGHTS / 2 if at < 1 else WEIGHTS / 8)
    assert found.best is not None
    assert found.best.value == WEIGHTS / 8
    assert len(found.points) <= MAX_TRIALS


def test_rising_values_are_searched_alike() -> None:
    found = search(
        lambda at: (2 * at + math.log2(0.005), None),
        limit=math.log2(0.003),
        tolerance=0.01,
        first=0.0,
        slope=2.0,
        bounds=(-4.0, 6.0),
    )
    assert found.best is not None
    assert math.log2(0.003) - 0.01 <= found.best.value <= math.log2(0.003)
