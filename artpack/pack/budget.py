"""
A file that fits a budget of bytes, or of loss.

Both are searched along the one number that moves all tensors along the curve: the logarithm
of the constant that sets every step
(:class:`~artpack.pack.rate_distortion.RateDistortion`). Doubling the step saves one bit per
weight; the loss is quadratic in the steps, so the logarithm of it rises by two. Sizes are those
of whole files, coded; losses are measured.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeVar

from artpack.errors import BudgetError
from artpack.pack.compress import Packed
from artpack.pack.limit_search import SearchResult, search

T = TypeVar("T")

BYTES_TOLERANCE = 1e-3
"""A file this share below its limit is near enough."""

LOSS_TOLERANCE = 0.02
"""Likewise for a loss, which is known less well."""

LOG2_RANGE = 12.0
"""How far from where it begins a search may go, either way."""


@dataclass(frozen=True)
class Trial:
    """
    One file that was made on the way.

    Attributes:
        log2_step: Logarithm of the constant to base 2.
        file_bytes: Size of the file, and of its decoder where that counts.
        loss: What it lost, if that was measured.
        draft: Whether only its size was estimated.
    """

    log2_step: float
    file_bytes: int
    loss: float | None = None
    draft: bool = False


@dataclass(frozen=True)
class Fit:
    """
    A file that fits, and how it was found.

    Attributes:
        packed: The file's content.
        chosen: Its place on the curve.
        trials: All files that were made, in order: drafts first.
    """

    packed: Packed
    chosen: Trial
    trials: tuple[Trial, ...]


Pack = Callable[[float], Packed]
"""Makes the file at a step, given as its logarithm to base 2."""


def fit_bytes(
    pack: Pack,
    *,
    limit_bytes: int,
    first: float,
    slope: float,
    draft: Callable[[float], int] | None = None,
    size: Callable[[Packed], int] = attrgetter("size_bytes"),
) -> Fit:
    """
    Make the file that comes closest to a size without exceeding it.

    Args:
        pack: Makes a file.
        limit_bytes: No file may be larger.
        first: Logarithm of the step to base 2, to begin with.
        slope: How many bytes a file grows by where the logarithm rises by one, about; below 0.
        draft: Tells nearly the size of a file, but sooner: where that fits is where ``pack``
            begins.
        size: Tells what counts of a file.

    Returns:
        A file of at most ``limit_bytes``.

    Raises:
        BudgetError: Even the coarsest steps give a larger file; says how large.

    """
    trials: list[Trial] = []

    def look(
        measure: Callable[[float], tuple[int, T]], near: float, tolerance: float
    ) -> SearchResult[T]:
        return search(
            measure,
            limit=limit_bytes,
            tolerance=tolerance * limit_bytes,
            first=near,
            slope=slope,
            bounds=(first - LOG2_RANGE, first + LOG2_RANGE),
        )

    def estimate(log2_step: float) -> tuple[int, None]:
        assert draft is not None
        trials.append(Trial(log2_step, draft(log2_step), draft=True))
        return trials[-1].file_bytes, None

    def make(log2_step: float) -> tuple[int, Packed]:
        packed = pack(log2_step)
        trials.append(Trial(log2_step, size(packed)))
        return trials[-1].file_bytes, packed

    near, tolerance = first, BYTES_TOLERANCE
    if draft is not None:
        drafts = look(estimate, first, BYTES_TOLERANCE)
        # A file may be a little smaller than was estimated: that is no reason to make another.
        near, tolerance = (drafts.best or drafts.points[-1]).at, 2 * BYTES_TOLERANCE
    found = look(make, near, tolerance)
    if found.result is None:
        # Drafts may be smaller than any file: their weights have learned nothing yet.
        least = round(min(point.value for point in found.points))
        raise BudgetError(
            f"nothing fits into {limit_bytes:,} bytes: the smallest file has {least:,}"
        )
    return _fit(found, trials)


def fit_loss(pack: Pack, judge: Callable[[Packed], float], *, limit: float, first: float) -> Fit:
    """
    Make the smallest file whose loss stays within a limit.

    Args:
        pack: Makes a file.
        judge: Returns what a file lost; below 0 counts as nothing.
        limit: No file may lose more; above 0.
        first: Logarithm of the step to base 2, to begin with.

    Returns:
        A file that loses at most ``limit``.

    Raises:
        BudgetError: Even the finest steps lose more; says how much.

    """
    trials: list[Trial] = []

    def measure(log2_step: float) -> tuple[float, Packed]:
        packed = pack(log2_step)
        trials.append(Trial(log2_step, packed.size_bytes, judge(packed)))
        return math.log2(max(trials[-1].loss or 0.0, limit / 1024)), packed

    found = search(
        measure,
        limit=math.log2(limit),
        tolerance=LOSS_TOLERANCE / math.log(2),
        first=first,
        slope=2.0,
        bounds=(first - LOG2_RANGE, first + LOG2_RANGE),
    )
    if found.result is None:
        least = min(trial.loss or 0.0 for trial in trials)
        raise BudgetError(f"no file loses {limit:g} or less: the best loses {least:g}")
    return _fit(found, trials)


def _fit(found: SearchResult[Packed], trials: list[Trial]) -> Fit:
    assert found.best is not None
    assert found.result is not None
    files = (trial for trial in trials if not trial.draft)
    chosen = next(trial for trial in files if trial.log2_step == found.best.at)
    return Fit(found.result, chosen, tuple(trials))


def loss_per_byte(loss: float, weights: int) -> float:
    """
    Return what one byte more would save.

    Args:
        loss: What a file loses now, in any unit.
        weights: How many weights share the byte.

    Returns:
        Decrease of the loss: it is quadratic in the steps, and halving all of them
        costs a bit for each weight.

    >>> f"{1000 * loss_per_byte(0.008, 36_000_000):.3g}"
    '2.46e-06'

    """
    return loss * 2 * math.log(2) * 8 / weights
