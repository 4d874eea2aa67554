"""Optimizers made from a recipe's groups, and their rates at each step."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.stages.patterns import compiled
from artpack.training.muon import POLAR_EXPRESS, QUINTIC, Muon, Triple
from artpack.training.schedule import ramp
from artpack.training.settings import MuonSettings, ParameterGroup

BETAS = (0.9, 0.95)
EPSILON = 1e-8


def make_optimizers(
    groups: Sequence[ParameterGroup], parameters: Mapping[str, Tensor]
) -> list[torch.optim.Optimizer]:
    """
    Make the optimizers of a run.

    Args:
        groups: In the order in which they are asked for a parameter.
        parameters: Name to parameter.

    Returns:
        One optimizer a group that takes any; its ``settings`` are those of the group.

    Raises:
        UsageError: No group takes a parameter, or Muon is to take a vector.

    """
    taken: list[list[Tensor]] = [[] for _ in groups]
    for name, parameter in parameters.items():
        taken[_group_of(name, groups)].append(parameter)
        if groups[_group_of(name, groups)].muon and parameter.ndim < 2:
            raise UsageError(f"muon cannot optimize {name}, which is a vector: name it earlier")
    return [_optimizer(g, params) for g, params in zip(groups, taken, strict=True) if params]


def set_rates(optimizers: Sequence[torch.optim.Optimizer], *, step: int, factor: float) -> None:
    """
    Set learning rates and momenta for a step.

    Args:
        optimizers: What :func:`make_optimizers` made.
        step: Steps done.
        factor: What the learning rates are multiplied by.

    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * group["base_lr"]
            if "momentum_steps" in group:
                group["momentum"] = ramp(
                    group["momentum_start"],
                    group["momentum_end"],
                    step=step,
                    over_steps=group["momentum_steps"],
                )


def coefficients(muon: MuonSettings) -> tuple[Triple, ...]:
    """
    Return the coefficients of each round.

    Args:
        muon: The settings.

    Returns:
        One triple a round.

    """
    if muon.iteration == "polar-express":
        return POLAR_EXPRESS[: muon.rounds]
    return (QUINTIC,) * muon.rounds


def _group_of(name: str, groups: Sequence[ParameterGroup]) -> int:
    for number, group in enumerate(groups):
        if compiled(group.match).found_in(name):
            return number
    raise UsageError(f"no group optimizes {name}: end the groups with match = ''")


def _optimizer(group: ParameterGroup, params: list[Tensor]) -> torch.optim.Optimizer:
    own: dict[str, Any] = {"params": params, "base_lr": group.lr}
    if group.muon is None:
        return torch.optim.AdamW(
            [own], lr=group.lr, betas=BETAS, eps=EPSILON, weight_decay=group.weight_decay
        )
    own["momentum_start"] = group.muon.momentum_start
    own["momentum_end"] = group.muon.momentum
    own["momentum_steps"] = group.muon.momentum_steps
    return Muon(
        [own],
        lr=group.lr,
        momentum=group.muon.momentum,
        weight_decay=group.weight_decay,
        coefficients=coefficients(group.muon),
        normalize_rows=group.muon.normalize_rows,
    )
