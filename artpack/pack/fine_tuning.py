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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from artpack.pack.learning import Objective, rate_share
from artpack.pack.learning_state import PARTS, Learned, LearningState
from artpack.pack.prepare import Prepared
from artpack.pack.rate_distortion import RateDistortion
from artpack.quantize.rounding.column_sweep import ColumnSweep
from artpack.stages.progress import Progress

FREE_SHARES = (0.5, 0.25, 0.1, 0.03)
"""Shares of the columns that are not quantized yet while there is learning."""

LEARNING_RATE = 0.03
"""Change of a weight in one step, in steps of the lattice, at most."""

TRAINING_LOG2_CHANGE = -12.5
"""The same for weights that are still in training, as the logarithm of c to base 2."""


def training_rate(log2_step: float) -> float:
    """
    Return the learning rate for weights that are not trained to the end.

    They have further to go than to make up for errors: by changes that cost the same loss however
    fine the lattice is. At a rate in steps of the lattice, as is right for trained weights, those
    of large files would stand still.

    Args:
        log2_step: Logarithm of the frontier's constant to base 2.

    Returns:
        Change of a weight in one step, in steps of the lattice, at most.

    >>> training_rate(-9.5), training_rate(-12.5)
    (0.125, 1.0)

    """
    return float(2 ** (TRAINING_LOG2_CHANGE - log2_step))


def fine_tune(
    found: RateDistortion,
    log2_step: float,
    make_objective: Callable[[int], Objective],
    *,
    steps: int,
    rate: float = LEARNING_RATE,
    device: str = "cpu",
    kept: LearningState | None = None,
    progress: Progress | None = None,
) -> dict[str, Prepared]:
    """
    Quantize all tensors, and let what is not quantized yet learn in between.

    Args:
        found: What quantizes them.
        log2_step: Logarithm of the frontier's constant to base 2.
        make_objective: Makes what is made small, such as the divergence from the checkpoint,
            from a batch on.
        steps: How many batches are learned from.
        rate: Change of a weight in one step, in steps of the lattice, at most.
        device: Where the objective computes.
        kept: Keeps what is learned on the way, and knows what an earlier run has learned.
        progress: Told after each step.

    Returns:
        Name to symbols.

    Raises:
        CheckpointError: A weight is not finite.

    """
    sweeps, kept, end = found.sweeps(log2_step), kept or LearningState(), 0
    begun = kept.restore(sweeps)
    done = 0 if begun is None else begun.done
    objective = make_objective(done)
    for free, some in zip(FREE_SHARES, _divided(steps), strict=True):
        start, end = end, end + some
        if end < done:
            continue
        if begun is None:
            found.quantize_columns(sweeps, free)
        _learn(
            _Stage(sweeps, start, some, rate, device),
            objective,
            begun,
            kept,
            _told(progress, start, steps),
        )
        begun = None
    found.quantize_columns(sweeps, 0)
    return {
        name: Prepared(sweeps[name].lattice, sweeps[name].quantized)
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


@dataclass(frozen=True, eq=False)
class _Stage:
    """
    What is learned with some columns quantized.

    Attributes:
        sweeps: The tensors.
        start: How many steps were made before.
        steps: How many are made now.
        rate: Change of a weight in one of them, at most.
        device: Where they are made.
    """

    sweeps: Mapping[str, ColumnSweep]
    start: int
    steps: int
    rate: float
    device: str


def _learn(
    stage: _Stage,
    objective: Objective,
    begun: Learned | None,
    kept: LearningState,
    progress: Progress | None,
) -> None:
    """Change the columns that are left so that the loss is smaller."""
    sweeps, steps, device = stage.sweeps, stage.steps, stage.device
    free = {name: _Left.of(sweep, device) for name, sweep in sweeps.items() if sweep.free}
    if not steps or not free:
        return
    fixed = {
        name: torch.from_numpy(sweep.weight).to(device)
        for name, sweep in sweeps.items()
        if not sweep.free
    }
    optimizer = torch.optim.Adam([one.change for one in free.values()], betas=(0.9, 0.99))
    first = 0
    if begun is not None:
        first = begun.done - stage.start
        _go_on(free, optimizer, begun, first)
    for step in range(first, steps):
        optimizer.param_groups[0]["lr"] = stage.rate * rate_share(step, steps)
        optimizer.zero_grad()
        loss = objective({**fixed, **{name: one.weight() for name, one in free.items()}})
        torch.autograd.backward(loss)
        optimizer.step()
        if kept.is_due():
            kept.keep(sweeps, _learned(free, optimizer, stage.start + step + 1))
        if progress is not None:
            progress("learning", step + 1, steps)
    with torch.no_grad():
        for name, one in free.items():
            sweeps[name].change(one.left().cpu().numpy())


def _learned(free: Mapping[str, _Left], optimizer: torch.optim.Adam, done: int) -> Learned:
    """Return what was learned so far."""
    states = {name: optimizer.state[one.change] for name, one in free.items()}
    change = {name: one.change for name, one in free.items()}
    mean = {name: state["exp_avg"] for name, state in states.items()}
    square = {name: state["exp_avg_sq"] for name, state in states.items()}
    return Learned(done, dict(zip(PARTS, (change, mean, square), strict=True)))


def _go_on(
    free: Mapping[str, _Left], optimizer: torch.optim.Adam, begun: Learned, steps: int
) -> None:
    """Take over what was learned in so many steps."""
    change, mean, square = (begun.parts[part] for part in PARTS)
    states = {
        place: {
            "step": torch.tensor(float(steps)),
            "exp_avg": mean[name],
            "exp_avg_sq": square[name],
        }
        for place, name in enumerate(free)
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    with torch.no_grad():
        for name, one in free.items():
            one.change.copy_(change[name])
