"""The low-rank matrices of the documents that run at once, and how they are trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed
from torch import Tensor

from artpack.evaluation.ttt.lora import LoraMatrices
from artpack.evaluation.ttt.optimizer_steps import clip, optimizer
from artpack.evaluation.ttt.recipe import Lora
from artpack.models import ModelConfig
from artpack.system.ranks import Ranks


class Matrices:
    """
    Matrices with their optimizer and their running average.

    Args:
        recipe: What they are and how they learn.
        config: The model.
        documents: This process's documents that run at once.
        device: Where they are.
    """

    def __init__(self, recipe: Lora, config: ModelConfig, documents: int, device: str) -> None:
        self.low_rank = LoraMatrices(recipe, config, documents, device)
        self._recipe, self._steps = recipe, 0
        self._optimizer = optimizer(recipe.rule, [self.low_rank.flat])
        self._average = torch.zeros_like(self.low_rank.flat, requires_grad=False)
        factors = self.low_rank.columns(recipe.rate_factors).to(device)
        self._factors = None if bool((factors == 1).all()) else factors

    @torch.no_grad()
    def begin(self) -> None:
        """Forget how the last documents were learned from."""
        self._optimizer.reset()
        self._steps = 0
        self._average.copy_(self.low_rank.flat)

    @contextmanager
    def scoring(self) -> Iterator[Tensor]:
        """Give the matrices that score, (documents, size)."""
        flat = self.low_rank.flat
        if not self._recipe.polyak or not self._steps:
            yield flat
        elif not self._recipe.restart_polyak:
            yield self._average
        else:
            # In place, as published: what autograd keeps for the backward pass will hold
            # the matrices themselves, not the average that the forward pass has read.
            own = flat.data.clone()
            flat.data.copy_(self._average)
            yield flat
            flat.data.copy_(own)

    def step(self, rates: Tensor | float) -> Tensor:
        """
        Go down the gradient that ``low_rank.flat`` holds.

        Args:
            rates: Learning rate, of each document (documents,) or of all.

        Returns:
            Norm of each document's gradient, or, joint, of all together.

        """
        flat, clip_norm = self.low_rank.flat, self._recipe.rule.clip_norm
        assert flat.grad is not None
        squares = flat.grad.square().sum(dim=1, keepdim=True)
        norms = _over_ranks(squares.sum()).sqrt() if self._recipe.joint else squares.sqrt()
        if clip_norm is not None:
            flat.grad.mul_(clip(norms, clip_norm))
        rate = rates[:, None] if isinstance(rates, Tensor) else rates
        self._optimizer.step(rate if self._factors is None else rate * self._factors)
        flat.grad = None
        self._steps += 1
        if self._recipe.polyak and not self._recipe.restart_polyak:
            # Divided by what all shares so far add up to: the first step's is everything.
            self._blend((1 - self._recipe.polyak) / (1 - self._recipe.polyak**self._steps))
        return norms

    def end_chunk(self) -> None:
        """Let the average follow, where it does so once a chunk."""
        if self._recipe.polyak and self._recipe.restart_polyak:
            self._blend(1 - self._recipe.polyak)

    @torch.no_grad()
    def _blend(self, share: float) -> None:
        self._average.lerp_(self.low_rank.flat, share)


def _over_ranks(number: Tensor) -> Tensor:
    if Ranks.current().world > 1:
        torch.distributed.all_reduce(number)
    return number
