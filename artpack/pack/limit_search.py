"""
The largest value that stays within a limit, in few trials.

A trial may take minutes: a whole model is quantized and coded, or scored. So the
search starts from a slope that theory gives, follows the secant from there on, and
halves the bracket where the secant leaves it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

MAX_TRIALS = 14
"""Secants need four or five; the rest is for values that do not follow the theory."""


class SearchPoint(NamedTuple):
    """
    Something measured.

    Attributes:
        at: Where.
        value: What was measured there, in the unit of the limit.
    """

    at: float
    value: float


@dataclass(frozen=True)
class SearchResult(Generic[T]):
    """
    How a search ended.

    Attributes:
        best: The point with the largest value within the limit; None if there was none.
        result: What came with it.
        points: All that was measured, in order.
    """

    best: SearchPoint | None
    result: T | None
    points: tuple[SearchPoint, ...]


def search(
    measure: Callable[[float], tuple[float, T]],
    *,
    limit: float,
    tolerance: float,
    first: float,
    slope: float,
    bounds: tuple[float, float],
) -> SearchResult[T]:
    """
    Look for the point whose value is as large as a limit allows.

    Args:
        measure: Returns the value at a point and what comes with it. The value rises or
            falls over all of the bounds, but for a little noise.
        limit: No larger value will do.
        tolerance: A value this close below the limit ends the search.
        first: Where to begin.
        slope: How much the value changes for one unit of the point, about; not 0.
        bounds: The smallest and the largest point that make sense.

    Returns:
        The best point. There is none if the limit is missed even at a bound.

    >>> found = search(lambda x: (2**x, f"at {x:.2f}"), limit=1000, tolerance=1, first=8,
    ...     slope=200, bounds=(0, 20))
    >>> found.result, round(found.best.value), len(found.points)
    ('at 9.97', 1000, 8)

    """
    at = min(max(first, bounds[0]), bounds[1])
    points: list[SearchPoint] = []
    best: SearchPoint | None = None
    kept: T | None = None
    for _ in range(MAX_TRIALS):
        value, result = measure(at)
        points.append(SearchPoint(at, value))
        if value <= limit and (best is None or value > best.value):
            best, kept = points[-1], result
        if limit - tolerance <= value <= limit:
            break
        wish = at + (limit - tolerance / 2 - value) / _slope(points, slope)
        following = _next(points, wish, limit, bounds)
        if following is None:
            break
        at = following
    return SearchResult(best, kept, tuple(points))


def _slope(points: list[SearchPoint], expected: float) -> float:
    """Return the slope through the last two points, if it has the sign that it must have."""
    if len(points) < 2:
        return expected
    before, last = points[-2:]
    slope = (last.value - before.value) / (last.at - before.at)
    return slope if slope * expected > 0 else expected


def _next(
    points: list[SearchPoint], wish: float, limit: float, bounds: tuple[float, float]
) -> float | None:
    """Return where to measure next; None where nothing new can be learned."""
    last = points[-1]
    within = [point.at for point in points if point.value <= limit]
    over = [point.at for point in points if point.value > limit]
    if within and over:
        # The two nearest points on either side, whichever side that is.
        nearest = min(
            ((a, b) for a in within for b in over), key=lambda ends: abs(ends[0] - ends[1])
        )
        low, high = min(nearest), max(nearest)
        following = wish if low < wish < high else (low + high) / 2
        return following if low < following < high else None
    if len(points) > 1 and _is_slow(points[-2], last, limit):
        wish = last.at + 2 * (last.at - points[-2].at)
    following = min(max(wish, bounds[0]), bounds[1])
    return None if following == last.at else following


def _is_slow(before: SearchPoint, last: SearchPoint, limit: float) -> bool:
    """Say whether the last stride has covered less than half of the way to the limit."""
    return 2 * abs(limit - last.value) > abs(limit - before.value)
