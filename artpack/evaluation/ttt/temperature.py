"""The temperature that targets are scored with: given, or what scored best so far."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.evaluation.ttt.recipe import Recipe

GRID = tuple(round(0.80 + 0.02 * step, 2) for step in range(21))
"""0.80 to 1.20: beyond, something else than the temperature is wrong."""


class TargetTemperature(Protocol):
    """Temperatures that losses are taken at, and which of them counts."""

    candidates: tuple[float | None, ...]
    learns: bool

    @property
    def chosen(self) -> int:
        """Index of the candidate that targets are scored with; the others are only tried."""

    def learn(self, losses: NDArray[np.float64]) -> None:
        """Take in what targets, already scored, lost at each candidate, (candidates,)."""

    def state(self) -> dict[str, Tensor]:
        """Return what it has learned."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take a state over."""


class Fixed:
    """
    One temperature for all.

    Args:
        temperature: Divides the logits; None takes the checkpoint's own.
    """

    learns = False
    chosen = 0

    def __init__(self, temperature: float | None) -> None:
        self.candidates: tuple[float | None, ...] = (temperature,)

    def learn(self, losses: NDArray[np.float64]) -> None:
        """Learn nothing."""

    def state(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take nothing over."""


class Fitted:
    """
    The temperature of a grid at which all targets so far, together, lost least.

    Args:
        start: Used until there are any.
    """

    learns = True

    def __init__(self, start: float) -> None:
        self.candidates: tuple[float | None, ...] = tuple(sorted({*GRID, start}))
        self._start = self.candidates.index(start)
        self._losses = np.zeros(len(self.candidates))

    @property
    def chosen(self) -> int:
        """Index of the candidate that targets are scored with."""
        return int(self._losses.argmin()) if self._losses.any() else self._start

    def learn(self, losses: NDArray[np.float64]) -> None:
        """Add what targets lost at each candidate."""
        self._losses += losses

    def state(self) -> dict[str, Tensor]:
        """Return the sums."""
        return {"losses": torch.from_numpy(self._losses)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the sums over."""
        self._losses = state["losses"].numpy().copy()


def temperature_of(recipe: Recipe) -> Fixed | Fitted:
    """
    Make the temperature that a recipe asks for.

    Args:
        recipe: The recipe.

    Returns:
        The temperature, before it has seen anything.

    """
    if recipe.fit_temperature:
        return Fitted(1.0 if recipe.temperature is None else recipe.temperature)
    return Fixed(recipe.temperature)
