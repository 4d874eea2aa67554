"""What an evaluator answers, and how it is asked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.tokens.shards import Tokens

Losses = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Answer:
    """
    What came out of one run.

    Attributes:
        losses: Of each token but the first, nats, shape (tokens - 1,) if it is right.
        claimed_bytes: Of the text, if the evaluator says so.
    """

    losses: Losses
    claimed_bytes: int | None = None

    def faults(self, targets: int) -> Iterator[str]:
        """
        Yield what is wrong with the losses by themselves.

        Args:
            targets: That were to be scored, each once.

        Yields:
            One line each.

        """
        if self.losses.shape != (targets,):
            yield f"{targets:,} targets got losses of shape {self.losses.shape}"
        elif missing := np.flatnonzero(~np.isfinite(self.losses)).tolist():
            yield f"{len(missing):,} targets have no finite loss, the first is {missing[0]:,}"


Ask: TypeAlias = Callable[[Sequence[Tokens], str], Answer]
"""
Runs an evaluator on streams, one after another in one process that has no memory of any other
run, and gives its answer to the last. The text is the purpose of the run, for the report.
"""
