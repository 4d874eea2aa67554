"""
Plans: the windows of a token stream that are run, and their positions that are scored.

A window takes tokens ``start`` to ``start + length`` as inputs and predicts each one's
successor; positions from ``first_scored`` on count, the others are context only. A
plan is such windows as data, so that what is scored can be counted before anything
runs. :mod:`~artpack.evaluation.windows.sliding` and :mod:`~artpack.evaluation.tokens.documents`
make plans.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.system.ranks import Ranks


@dataclass(frozen=True)
class Coverage:
    """
    What a plan scores, in numbers.

    Attributes:
        targets: Predictable tokens of the stream, its length minus 1.
        scored: Scores taken, repeats included.
        repeated: Scores taken of a target that had been scored already.
        skipped: Targets never scored.
        windows: How many there are.
        rows: Rows that the model runs, of one window each unless they are packed.
        forward_tokens: Tokens that the model runs, padding not counted.
    """

    targets: int
    scored: int
    repeated: int
    skipped: int
    windows: int
    rows: int
    forward_tokens: int


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """
    Windows of one stream, as data.

    Attributes:
        targets: Predictable tokens of the stream, its length minus 1. Target i is
            token i + 1, predicted at token i.
        row_tokens: Length that every row is padded to on its right, because a
            model's rotary base may depend on it.
        windows: int64, shape (W, 3): start, length, first scored position.
        rows: int64, shape (W,), ascending: the row that each window runs in. Windows
            of one row lie side by side and do not see each other.
    """

    targets: int
    row_tokens: int
    windows: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __post_init__(self) -> None:
        start, length, first = self.windows.T
        ok = (start >= 0) & (first >= 0) & (first < length) & (start + length <= self.targets)
        if not ok.all():
            bad = self.windows[np.argmin(ok)].tolist()
            raise UsageError(
                f"window (start, length, first scored) = {bad} does not fit {self.targets} targets"
            )
        if (np.bincount(self.rows, length) > self.row_tokens).any():
            raise UsageError(f"a row's windows are longer than its {self.row_tokens} tokens")

    def times_scored(self) -> NDArray[np.int64]:
        """Return how often each target is scored: int64, shape (targets,)."""
        start, length, first = self.windows.T
        begins = np.bincount(start + first, minlength=self.targets + 1)
        ends = np.bincount(start + length, minlength=self.targets + 1)
        times: NDArray[np.int64] = np.cumsum(begins - ends)[:-1]
        return times

    def scored_targets(self) -> NDArray[np.int64]:
        """Return the targets in the order in which they are scored: int64, shape (scored,)."""
        start, length, first = self.windows.T
        count = length - first
        ends = np.cumsum(count)
        targets: NDArray[np.int64] = np.arange(count.sum()) + np.repeat(
            start + length - ends, count
        )
        return targets

    def coverage(self) -> Coverage:
        """Return what the plan scores, in numbers."""
        times = self.times_scored()
        return Coverage(
            targets=self.targets,
            scored=int(times.sum()),
            repeated=int(np.maximum(times - 1, 0).sum()),
            skipped=int((times == 0).sum()),
            windows=len(self.windows),
            rows=int(np.count_nonzero(np.diff(self.rows, prepend=-1))),
            forward_tokens=int(self.windows[:, 1].sum()),
        )


def share_rows(plan: WindowPlan) -> WindowPlan:
    """
    Lay short windows side by side, each row until the next window does not fit.

    Saves the padding of windows in documents. Scores stay the same, unless the model's
    config says that some mechanism crosses documents as published.

    Args:
        plan: Any plan.

    Returns:
        The same windows in fewer rows.

    """
    rows = np.empty_like(plan.rows)
    row, used = -1, plan.row_tokens
    for i, length in enumerate(plan.windows[:, 1].tolist()):
        if used + length > plan.row_tokens:
            row, used = row + 1, 0
        used += length
        rows[i] = row
    return replace(plan, rows=rows)


def shard(plan: WindowPlan, ranks: Ranks, *, batch_rows: int) -> WindowPlan:
    """
    Take one process's share of a plan: every ``world``-th batch.

    Args:
        plan: All windows.
        ranks: Whose share.
        batch_rows: Rows per batch.

    Returns:
        The share; those of all ranks together are the plan. Batches are dealt out whole, so
        every row is computed in the same company as in a single process; then only the order
        of float64 additions differs.

    """
    mine = plan.rows // batch_rows % ranks.world == ranks.rank
    return replace(plan, windows=plan.windows[mine], rows=plan.rows[mine])
