"""SGD and AdamW as the published systems run them, with a state that is plain tensors."""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from artpack.evaluation.ttt.recipe import OptimizerSettings


class Optimizer(Protocol):
    """Changes parameters by their gradients; a parameter without a gradient stays."""

    def step(self, rate: float | Tensor) -> None:
        """Change the parameters; a tensor of rates is broadcast over each."""

    def reset(self) -> None:
        """Forget all earlier steps."""

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on, except the parameters."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take a state over."""


def optimizer(rule: OptimizerSettings, parameters: Sequence[Tensor]) -> Optimizer:
    """
    Make the optimizer that a rule asks for.

    Args:
        rule: Kind and settings; the learning rate is given at each step.
        parameters: What it changes.

    Returns:
        The optimizer.

    """
    return Sgd(rule, parameters) if rule.kind == "sgd" else AdamW(rule, parameters)


class Sgd:
    """
    Gradient descent with momentum, neither dampened nor Nesterov's; decay joins the gradient.

    Args:
        rule: Settings.
        parameters: What is changed.
    """

    def __init__(self, rule: OptimizerSettings, parameters: Sequence[Tensor]) -> None:
        self._rule, self._parameters = rule, list(parameters)
        self._velocity = [torch.zeros_like(p) for p in self._parameters]

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Change the parameters."""
        for parameter, velocity in zip(self._parameters, self._velocity, strict=True):
            if parameter.grad is not None:
                pull = parameter.grad.add(parameter, alpha=self._rule.weight_decay)
                velocity.mul_(self._rule.momentum).add_(pull)
                parameter.sub_(velocity * rate)

    def reset(self) -> None:
        """Forget all earlier steps."""
        for velocity in self._velocity:
            velocity.zero_()

    def state(self) -> dict[str, Tensor]:
        """Return the momentum."""
        return {f"velocity.{i}": v for i, v in enumerate(self._velocity)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take a state over."""
        for i, velocity in enumerate(self._velocity):
            velocity.copy_(state[f"velocity.{i}"])


class AdamW:
    """
    Adam with decoupled weight decay, in torch's order of operations.

    Args:
        rule: Settings.
        parameters: What is changed.
    """

    def __init__(self, rule: OptimizerSettings, parameters: Sequence[Tensor]) -> None:
        self._rule, self._parameters, self._steps = rule, list(parameters), 0
        self._mean = [torch.zeros_like(p) for p in self._parameters]
        self._square = [torch.zeros_like(p) for p in self._parameters]

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Change the parameters."""
        rule = self._rule
        self._steps += 1
        first = 1 - rule.beta1**self._steps
        second = math.sqrt(1 - rule.beta2**self._steps)
        for parameter, mean, square in zip(self._parameters, self._mean, self._square, strict=True):
            if parameter.grad is None:
                continue
            if rule.weight_decay:
                parameter.mul_(1 - rate * rule.weight_decay)
            mean.lerp_(parameter.grad, 1 - rule.beta1)
            square.mul_(rule.beta2).addcmul_(parameter.grad, parameter.grad, value=1 - rule.beta2)
            spread = square.sqrt().div_(second).add_(rule.epsilon)
            parameter.sub_(spread.reciprocal_().mul_(mean).mul_(rate).div_(first))

    def reset(self) -> None:
        """Forget all earlier steps."""
        self._steps = 0
        for tensor in (*self._mean, *self._square):
            tensor.zero_()

    def state(self) -> dict[str, Tensor]:
        """Return both moments and the number of steps."""
        moments = {"mean": self._mean, "square": self._square}
        named = {f"{name}.{i}": t for name, ts in moments.items() for i, t in enumerate(ts)}
        return {**named, "steps": torch.tensor(self._steps)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take a state over."""
        self._steps = int(state["steps"])
        for i, (mean, square) in enumerate(zip(self._mean, self._square, strict=True)):
            mean.copy_(state[f"mean.{i}"])
            square.copy_(state[f"square.{i}"])


def clip(norm: Tensor, longest: float) -> Tensor:
    """
    Return the factor that shortens a gradient to a norm, as torch computes it.

    Args:
        norm: Of the gradient.
        longest: Largest norm allowed.

    Returns:
        At most 1, the shape of ``norm``.

    """
    return (longest / (norm + 1e-6)).clamp(max=1.0)
