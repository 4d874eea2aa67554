"""
Looks at more of a model than its losses: entropies, and whole distributions.

Mixing needs the entropy at every target. Whole distributions, which prove that what is
scored is one, are kept at a few watched targets only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.errors import UsageError
from artpack.evaluate.forward import REFERENCE, Progress, Scorable, Settings, measure_plan
from artpack.evaluate.ranks import Ranks, shard, sum_over_ranks
from artpack.evaluate.shards import Tokens
from artpack.evaluate.windows import WindowPlan


@dataclass(frozen=True, eq=False)
class Observed:
    """
    What a model said of the targets of a stream, in their order.

    Attributes:
        log_probs: Log-probability of each target, nats, float64, shape (targets,).
        entropy: Of the distribution at each, nats, float64, shape (targets,).
        watched: The watched targets, ascending, int64, shape (W,).
        rows: The distribution at each of them, float64, shape (W, V).
    """

    log_probs: NDArray[np.float64]
    entropy: NDArray[np.float64]
    watched: NDArray[np.int64]
    rows: NDArray[np.float64]


def observe(
    model: Scorable,
    ids: Tokens,
    plan: WindowPlan,
    *,
    watch: Sequence[int] = (),
    vocab_size: int = 0,
    settings: Settings = REFERENCE,
    progress: Progress | None = None,
) -> Observed:
    """
    Run a model over a plan.

    In a torch process group each process runs its share and all return the same.

    Args:
        model: On ``settings.device`` and in evaluation mode.
        ids: The stream that the plan was made for, shape (N,).
        plan: Scores the first targets, each once, from left to right.
        watch: Targets whose whole distribution is wanted.
        vocab_size: Length of a distribution.
        settings: Device, precision and batch size.
        progress: Told after every batch.

    Returns:
        What was seen.

    Raises:
        UsageError: The plan does not go through the stream once, from left to right.

    """
    scored = plan.scored_targets()
    if not np.array_equal(scored, np.arange(scored.size)):
        raise UsageError(
            "mixing takes windows that score each target once, from left to right; "
            "take another placement"
        )
    part = shard(plan, Ranks.current(), batch_rows=settings.batch_rows(plan))
    mine = part.scored_targets()
    rows = _Rows(mine, np.unique(np.array(watch, np.int64)), vocab_size)
    numbers = measure_plan(
        [model], ids, part, rows, columns=2, settings=settings, progress=progress
    )
    both = np.zeros((scored.size, 2))
    both[mine] = numbers
    log_probs, entropy = sum_over_ranks(both, device=settings.device).T
    kept = sum_over_ranks(rows.kept, device=settings.device)
    return Observed(log_probs, entropy, rows.watched, kept)


class _Rows:
    """A measure of log-probability and entropy that keeps some distributions on the way."""

    def __init__(
        self, order: NDArray[np.int64], watched: NDArray[np.int64], vocab_size: int
    ) -> None:
        self.watched = watched
        self.kept = np.zeros((watched.size, vocab_size))
        self._order, self._done = order, 0

    def __call__(self, logits: Sequence[Tensor], targets: Tensor) -> Tensor:
        """Return (n, 2)."""
        log_probs = logits[0].log_softmax(-1)
        here = self._order[self._done : self._done + len(targets)]
        self._done += len(targets)
        for i in np.flatnonzero(np.isin(here, self.watched)).tolist():
            row = np.searchsorted(self.watched, here[i])
            self.kept[row] = logits[0][i].double().softmax(-1).cpu().numpy()
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        return torch.stack([log_probs.gather(1, targets[:, None])[:, 0], entropy], dim=1)
