"""
Quantizing a share of all columns at a time, while those that are left learn to make up for it.

::

    sweeps ─► half of the columns ─► learn ─► a quarter ─► learn ─► ... ─► symbols

Every tensor is quantized as if the others were exact, and its errors cost what a formula says.
What the model really loses is seen on tokens: between two shares, the weights that are not
quantized yet learn by the gradient of that loss. They are changed along the directions in which
the formula has them independent and alike (:class:`Directions`), so that few steps suffice.

Source: learning what is not quantized yet, layer by layer, is what QuIP# does,
arXiv 2402.04396, and AQLM, arXiv 2401.06118; by columns of all layers at once, and along the
metric's own directions, is our own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from artpack.pack.learning import Objective, rate_share
from artpack.pack.prepare import Prepared
from artpack.pack.rate_distortion import RateDistortion
from artpack.quantize.rounding.column_sweep import ColumnSweep
from artpack.stages.progress import Progress

FREE_SHARES = (0.5, 0.25, 0.1, 0.03)
"""Shares of the columns that are not quantized yet while there is learning."""

LEARNING_RATE = 0.03
"""Change of a weight in one step, in steps of the lattice, at most."""


RATE_WEIGHT = 0.15
"""How much squared error, in squared steps, a bit is worth where what is left learns."""


def fine_tune(
    found: RateDistortion,
    log2_step: float,
    objective: Objective,
    *,
    steps: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Prepared]:
    """
    Quantize all tensors, and let what is not quantized yet learn in between.

    Args:
        found: What quantizes them, best with ``RATE_WEIGHT``.
        log2_step: Logarithm of the frontier's constant to base 2.
        objective: What is made small, such as the divergence from the checkpoint.
        steps: How many batches are learned from.
        device: Where the objective computes.
        progress: Told after each step.

    Returns:
        Name to symbols.

    Raises:
        CheckpointError: A weight is not finite.

    """
    sweeps, done = found.sweeps(log2_step), 0
    for free, some in zip(FREE_SHARES, _divided(steps), strict=True):
        found.quantize_columns(sweeps, free)
        _learn(sweeps, objective, some, device, _told(progress, done, steps))
        done += some
    found.quantize_columns(sweeps, 0)
    return {
        name: found.reported(name, Prepared(sweeps[name].lattice, sweeps[name].quantized))
        if name in sweeps
        else found.quantize(name, log2_step)
        for name in found.jobs
    }


def _divided(steps: int) -> list[int]:
    """Divide steps among shares of columns; what is left over goes to the first ones."""
    each, rest = divmod(steps, len(FREE_SHARES))
    return [each + (place < rest) for place in range(len(FREE_SHARES))]


def _told(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Return what tells of a part of the steps as of all."""
    if progress is None:
        return None
    return lambda phase, step, _, note="": progress(phase, done + step, total, note)


@dataclass(frozen=True, eq=False)
class _Left:
    """
    A tensor whose first columns learn.

    Attributes:
        start: As it was, float32 ``(rows, cols)``.
        change: Of the first columns, in steps along directions: what is learned.
        rows: As :class:`Directions` has it.
        steps: Likewise.
        cols: Likewise.
    """

    start: Tensor
    change: Tensor
    rows: Tensor | None
    steps: Tensor
    cols: Tensor | None

    @classmethod
    def of(cls, sweep: ColumnSweep, device: str) -> Self:
        """Begin with no change."""
        rows, steps, cols = (
            None if part is None else torch.from_numpy(part).to(device)
            for part in sweep.directions()
        )
        assert steps is not None
        start = torch.from_numpy(sweep.weight).to(device)
        return cls(start, torch.zeros_like(steps).requires_grad_(), rows, steps, cols)

    def left(self) -> Tensor:
        """Return the first columns as they are now."""
        change = self.change * self.steps
        change = change if self.cols is None else change @ self.cols
        change = change if self.rows is None else self.rows @ change
        return self.start[:, : change.shape[1]] + change

    def weight(self) -> Tensor:
        """Return the whole tensor as a matrix."""
        left = self.left()
        return torch.cat([left, self.start[:, left.shape[1] :]], 1)


def _learn(
    sweeps: Mapping[str, ColumnSweep],
    objective: Objective,
    steps: int,
    device: str,
    progress: Progress | None,
) -> None:
    """Change the columns that are left so that the loss is smaller."""
    free = {name: _Left.of(sweep, device) for name, sweep in sweeps.items() if sweep.free}
    if not steps or not free:
        return
    fixed = {
        name: torch.from_numpy(sweep.weight).to(device)
        for name, sweep in sweeps.items()
        if not sweep.free
    }
    optimizer = torch.optim.Adam([one.change for one in free.values()], betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * rate_share(step, steps)
        optimizer.zero_grad()
        loss = objective({**fixed, **{name: one.weight() for name, one in free.items()}})
        torch.autograd.backward(loss)
        optimizer.step()
        if progress is not None:
            progress("learning", step + 1, steps)
    with torch.no_grad():
        for name, one in free.items():
            sweeps[name].change(one.left().cpu().numpy())
