"""
Batches of tokens for each forward pass.

A batch follows from its number alone, so a run that goes on after an interruption
reads what it would have read, and any number of processes read the same together.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.errors import UsageError
from artpack.evaluation.tokens.shards import Tokens
from artpack.models.document_mask import Documents
from artpack.training.settings import Batches


@dataclass(frozen=True)
class TrainingBatch:
    """
    Rows of one forward pass.

    Attributes:
        ids: int64 (rows, window).
        targets: int64 (rows, window), the id after each.
        documents: Which tokens see each other; None for all of a row.
    """

    ids: Tensor
    targets: Tensor
    documents: Documents | None


class Loader:
    """
    Rows of a token stream, pass after pass over it.

    Args:
        ids: The stream.
        batches: How it is cut.
        seed: Of the order of ``shuffled``.
        bos_id: The id that starts a document.
        device: Where batches go.

    Raises:
        UsageError: The stream is shorter than a row.
    """

    def __init__(
        self, ids: Tokens, batches: Batches, *, seed: int, bos_id: int = 1, device: str = "cpu"
    ) -> None:
        self._ids, self._batches = ids, batches
        self._seed, self._bos_id, self._device = seed, bos_id, device
        # A row reads one token more, and a pass may start up to a row late.
        self.rows = (ids.size - 1) // batches.window_tokens - 1
        self._epoch, self._starts = -1, np.empty(0, np.int64)
        if self.rows < 1:
            raise UsageError(
                f"{ids.size} tokens of training text are less than two rows of"
                f" {batches.window_tokens}: give more text or a shorter window"
            )

    def batch(self, step: int, number: int) -> TrainingBatch:
        """
        Return the rows of one forward pass.

        Args:
            step: Step, from 0.
            number: Forward pass within the step, counted over all processes.

        Returns:
            The batch, on the loader's device.

        """
        rows, window = self._batches.micro_rows, self._batches.window_tokens
        first = (step * self._batches.passes + number) * rows
        taken = self._rows(first, rows, window + 1).astype(np.int64)
        tokens = torch.from_numpy(taken).to(self._device)
        ids, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        packed = self._batches.documents
        documents = Documents.from_starts(ids == self._bos_id) if packed else None
        return TrainingBatch(ids, targets, documents)

    def tokens_from(self, step: int, least: int) -> Tokens:
        """
        Return what is read from a step on.

        Args:
            step: Step, from 0.
            least: How many tokens; the last row is whole.

        Returns:
            The rows one after another, (tokens,).

        """
        window = self._batches.window_tokens
        first = step * self._batches.tokens // window
        return self._rows(first, -(-least // window), window).ravel()

    def _rows(self, first: int, count: int, length: int) -> Tokens:
        """Return rows with so many tokens each, (count, length)."""
        starts = np.array([self._start(row) for row in range(first, first + count)])
        return self._ids[starts[:, None] + np.arange(length)]

    def _start(self, row: int) -> int:
        epoch, place = divmod(row, self.rows)
        if epoch != self._epoch:
            self._epoch, self._starts = epoch, self._order(epoch)
        return int(self._starts[place])

    def _order(self, epoch: int) -> NDArray[np.int64]:
        starts = np.arange(self.rows) * self._batches.window_tokens
        if self._batches.order == "sequential":
            return starts
        random = np.random.default_rng([self._seed, epoch])
        return random.permutation(starts) + random.integers(self._batches.window_tokens)
