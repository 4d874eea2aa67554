"""Strategies: the steps of an evaluation that learns, known before anything runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from artpack.evaluation.ttt.temperature import TargetTemperature
from artpack.evaluation.windows.plan import Coverage, WindowPlan

Ranges: TypeAlias = list[tuple[int, int]]
"""Ranges of targets, first and end."""


@dataclass(frozen=True, eq=False)
class Step:
    """
    Windows to score, and what is learned from once they have been.

    Attributes:
        plan: The windows; there may be none.
        update: Targets that something learns from after the scoring; there may be none.
        place: Where the strategy stands, in its own terms.
        rests: Nothing is under way after this step: ranks meet and the state can be kept.
    """

    plan: WindowPlan
    update: Ranges
    place: Any
    rests: bool

    def scored(self) -> Ranges:
        """Return the targets that are scored, ranges that touch joined."""
        joined: Ranges = []
        for start, length, first in self.plan.windows.tolist():
            if joined and joined[-1][1] == start + first:
                joined[-1] = (joined[-1][0], start + length)
            else:
                joined.append((start + first, start + length))
        return joined


class Scores(NamedTuple):
    """
    What this process has scored.

    Attributes:
        targets: int64 (n,).
        losses: Nats at each candidate temperature, float32 (n, candidates).
    """

    targets: NDArray[np.int64]
    losses: NDArray[np.float32]


class UpdateStats(NamedTuple):
    """
    One change of parameters.

    Attributes:
        rate: The learning rate; of documents that have each their own, the mean.
        loss: Mean nats per token before the change, z-loss included.
        norm: Of the gradient, before it was clipped; of documents the root of the sum.
    """

    rate: float
    loss: float
    norm: float


class Observer(Protocol):
    """Sees every distribution that targets are scored with."""

    def __call__(self, targets: NDArray[np.int64], logits: Tensor) -> None:
        """
        Take a look, before anything learns from these targets.

        Args:
            targets: int64 (n,), positions in the stream.
            logits: (n, vocabulary), at the temperature that counts.

        """


class Strategy(Protocol):
    """Scores steps and learns from them."""

    @property
    def temperature(self) -> TargetTemperature:
        """The temperature that targets are scored with."""

    def steps(self) -> Iterator[Step]:
        """Yield all steps in order; they depend on the documents' lengths alone."""

    def coverage(self) -> Coverage:
        """Return what all steps score, in numbers."""

    def score(self, step: Step, observer: Observer | None) -> Scores:
        """Score this process's share of a step."""

    def learn(self, step: Step) -> list[UpdateStats]:
        """Learn from a step that has been scored."""

    def state(self) -> dict[str, Tensor]:
        """Return what has been learned and all that further learning depends on."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take a state over."""
