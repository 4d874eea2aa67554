"""
Observations of an evaluation: of every target more than its loss, enough to check it.

Mixing needs the entropy at every target. Whole distributions, which show whether what
is scored is one, are kept at a few watched targets only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.evaluation.scoring.journal import SCORED, Journal
from artpack.evaluation.tokens.shards import Tokens
from artpack.system.ranks import sum_over_ranks


@dataclass(frozen=True, eq=False)
class Observed:
    """
    What an evaluation said, target by target.

    Attributes:
        log_probs: Log-probability of each target, nats, float64, shape (targets,); 0 where
            it was not scored.
        entropy: Of the distribution at each, nats, float64, shape (targets,).
        times: How often each was scored, int64, shape (targets,).
        watched: The watched targets, ascending, int64, shape (W,).
        rows: The distribution at each of them, float64, shape (W, V).
    """

    log_probs: NDArray[np.float64]
    entropy: NDArray[np.float64]
    times: NDArray[np.int64]
    watched: NDArray[np.int64]
    rows: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pass(Observed):
    """
    What an evaluation said, and in which order.

    Attributes:
        order: Targets in the order in which they were scored, int64, shape (scored,).
        journal: What was scored and learned from, in order.
    """

    order: NDArray[np.int64]
    journal: Journal


class Recorder:
    """
    Writes down what distributions say while they pass by.

    Args:
        ids: The stream, shape (N,).
        watch: Targets whose whole distribution is kept.
        vocab_size: Length of a distribution.
    """

    def __init__(self, ids: Tokens, watch: Sequence[int], vocab_size: int) -> None:
        self._answers = ids[1:].astype(np.int64)
        self._watched = np.unique(np.array(watch, np.int64))
        self._rows = np.zeros((self._watched.size, vocab_size))
        self._numbers = np.zeros((3, self._answers.size))

    def __call__(self, targets: NDArray[np.int64], logits: Tensor) -> None:
        """
        Look at some distributions.

        Args:
            targets: Positions in the stream, shape (n,).
            logits: Shape (n, V).

        """
        log_probs = logits.detach().float().log_softmax(-1)
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        answers = torch.from_numpy(self._answers[targets]).to(log_probs.device)
        self._numbers[0, targets] = log_probs.gather(1, answers[:, None])[:, 0].cpu().numpy()
        self._numbers[1, targets] = entropy.cpu().numpy()
        np.add.at(self._numbers[2], targets, 1)
        for i in np.flatnonzero(np.isin(targets, self._watched)).tolist():
            row = np.searchsorted(self._watched, targets[i])
            self._rows[row] = logits[i].detach().double().softmax(-1).cpu().numpy()

    def observed(self, device: str) -> Observed:
        """
        Put together what all processes have seen.

        Args:
            device: This process's own.

        Returns:
            The same in every process.

        """
        log_probs, entropy, times = sum_over_ranks(self._numbers, device=device)
        rows = sum_over_ranks(self._rows, device=device)
        return Observed(log_probs, entropy, times.astype(np.int64), self._watched, rows)

    def one_pass(self, journal: Journal, device: str) -> Pass:
        """
        Put together what all processes have seen, with the journal of how it came about.

        Args:
            journal: What was scored and learned from, in order.
            device: This process's own.

        Returns:
            The same in every process.

        """
        seen = self.observed(device)
        return Pass(**vars(seen), order=scoring_order(journal), journal=journal)


def scoring_order(journal: Journal) -> NDArray[np.int64]:
    """
    Return the targets in the order in which they were scored.

    Args:
        journal: What was scored and learned from, in order.

    Returns:
        int64, shape (scored,), repeats included.

    """
    kind, first, end = journal.entries().T
    first, count = first[kind == SCORED], (end - first)[kind == SCORED]
    before = np.cumsum(count) - count
    order: NDArray[np.int64] = np.arange(count.sum()) + np.repeat(first - before, count)
    return order
