"""
Averages of the weights along the way, to be packed instead of the last ones.

Each is told the weights after every step and keeps its own copy in float32.
"""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

Weights: TypeAlias = Mapping[str, Tensor]
State: TypeAlias = dict[str, "dict[str, Tensor] | int"]


class WeightAverage(Protocol):
    """A rule that turns the weights of many steps into one set."""

    def update(self, weights: Weights, *, step: int, factor: float) -> None:
        """Take the weights after a step, counted from 0, and its learning-rate factor."""

    def weights(self) -> dict[str, Tensor] | None:
        """Return the average in float32, or None while there is none."""

    def state_dict(self) -> State:
        """Return what :meth:`load_state_dict` needs to go on."""

    def load_state_dict(self, state: State) -> None:
        """Go on from a state."""


class _Shadows:
    """Averages that are sets of weights, kept by name."""

    def __init__(self) -> None:
        self._shadows: dict[str, dict[str, Tensor]] = {}
        self._count = 0

    def state_dict(self) -> State:
        """Return shadows and count."""
        return {"count": self._count, **self._shadows}

    def load_state_dict(self, state: State) -> None:
        """Take them back."""
        self._shadows = {name: dict(s) for name, s in state.items() if isinstance(s, dict)}
        count = state["count"]
        assert isinstance(count, int)
        self._count = count

    def _follow(self, name: str, weights: Weights, decay: float) -> None:
        """Move a shadow towards the weights; the first ones it takes as they are."""
        if name not in self._shadows:
            self._shadows[name] = {k: w.detach().float().clone() for k, w in weights.items()}
            return
        for key, weight in weights.items():
            self._shadows[name][key].lerp_(weight.detach().float(), 1 - decay)


class Ema(_Shadows):
    """
    Exponential moving average, from the initial weights on.

    Args:
        initial: The weights before the first step.
        decay: Share of the average that a step keeps.
        warmup_steps: Keep no more than ``n / (n + warmup_steps)`` at step n, as PR 826
            does, so that the initial weights are soon forgotten.
    """

    def __init__(self, initial: Weights, decay: float, *, warmup_steps: int = 0) -> None:
        super().__init__()
        self.decay, self.warmup_steps = decay, warmup_steps
        self._follow("average", initial, 0.0)

    def update(self, weights: Weights, *, step: int, factor: float) -> None:  # noqa: ARG002
        """Follow the weights."""
        done = step + 1
        self._follow("average", weights, min(self.decay, done / (done + self.warmup_steps)))

    def weights(self) -> dict[str, Tensor]:
        """Return the average."""
        return self._shadows["average"]


class Hma(_Shadows):
    """
    Hull-style moving average: twice a fast average less a slow one, smoothed.

    It lags behind the weights less than an exponential average as smooth as it.

    Args:
        initial: The weights before the first step.
        decay: That of the slow average, of span ``n = 1 / (1 - decay)``; the fast one has
            half the span and the smoother its square root.

    Source: PR 1123.

    """

    def __init__(self, initial: Weights, decay: float) -> None:
        super().__init__()
        self.slow = decay
        self.fast = 1 - 2 * (1 - decay)
        self.smooth = 1 - (1 - decay) ** 0.5
        for name in ("fast", "slow", "smooth"):
            self._follow(name, initial, 0.0)

    def update(self, weights: Weights, *, step: int, factor: float) -> None:  # noqa: ARG002
        """Follow the weights."""
        self._follow("fast", weights, self.fast)
        self._follow("slow", weights, self.slow)
        fast, slow = self._shadows["fast"], self._shadows["slow"]
        ahead = {name: 2 * fast[name] - slow[name] for name in weights}
        self._follow("smooth", ahead, self.smooth)

    def weights(self) -> dict[str, Tensor]:
        """Return the smoothed difference."""
        return self._shadows["smooth"]


class Swa(_Shadows):
    """
    Plain mean of snapshots that are taken while the learning rate is low.

    Args:
        every_steps: Take one after every so many steps.
        below_factor: And only while the learning-rate factor is below this.
    """

    def __init__(self, every_steps: int, below_factor: float) -> None:
        super().__init__()
        self.every_steps, self.below_factor = every_steps, below_factor

    def update(self, weights: Weights, *, step: int, factor: float) -> None:
        """Take a snapshot if it is time."""
        if (step + 1) % self.every_steps == 0 and factor < self.below_factor:
            self._follow("average", weights, self._count / (self._count + 1))
            self._count += 1

    def weights(self) -> dict[str, Tensor] | None:
        """Return the mean; None before the first snapshot."""
        return self._shadows.get("average")


def float_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """
    Return what is averaged: every tensor of a model's state that is floating point.

    Args:
        model: The model.

    Returns:
        Name to tensor, not copied.

    """
    return {name: w for name, w in model.state_dict().items() if w.is_floating_point()}
