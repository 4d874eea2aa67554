"""
Scales learned with the points frozen: some of what quantizing did to the whole is undone.

Every tensor is quantized as if the others were exact. Together they move what a model says
in ways that no tensor can see, and that the scales of rows and columns, few as they are,
can partly take back. They are learned on calibration tokens so that the model says what it
said before: by the gradient of the divergence from the checkpoint, on the grid they are
stored on.

Source: learning what is continuous with codes held fixed, from the unquantized model, is what
AQLM does, arXiv 2401.06118.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.pack.learning import Objective, rate_share
from artpack.pack.prepare import Prepared
from artpack.quantize.grids.lattice import MAX_SPAN, Lattice
from artpack.stages.progress import Progress

RESOLUTION = 32
"""Steps of learned scales in a doubling. With 16, rounding takes back half of what is learned."""

LEARNING_RATE = 0.006
"""Change of a logarithm of a scale to base 2 in one step, at most."""

MARGIN = 16
"""Steps that scales must be able to move apart."""


def learn_scales(
    prepared: Mapping[str, Prepared],
    objective: Objective,
    *,
    steps: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Prepared]:
    """
    Learn the scales of tensors on lattices.

    Args:
        prepared: Stored name to tensor. Others than those on lattices stay as they are.
        objective: What is made small, such as the divergence from the checkpoint.
        steps: How often the scales are changed.
        device: Where the objective computes.
        progress: Told after each step.

    Returns:
        The same tensors with the same codes. Their reports are of before.

    """
    scaled = {name: one for name, given in prepared.items() if (one := _scaled(given, device))}
    if not scaled:
        return dict(prepared)
    learned = [tensor for one in scaled.values() for tensor in (one.rows, one.cols)]
    optimizer = torch.optim.Adam(learned, betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * rate_share(step, steps)
        optimizer.zero_grad()
        loss = objective({name: one.weight() for name, one in scaled.items()})
        torch.autograd.backward(loss)
        optimizer.step()
        for one in scaled.values():
            one.take_back()
        if progress is not None:
            progress("learning scales", step + 1, steps)
    return {
        name: scaled[name].stored(given) if name in scaled else given
        for name, given in prepared.items()
    }


@dataclass(frozen=True, eq=False)
class _Scaled:
    """
    A tensor whose scales are learned.

    Attributes:
        lattice: What it is stored as afterwards.
        points: float32 ``(rows, cols)``.
        rows: Logarithms to base 2 of its rows' scales, float32 ``(rows, 1)``.
        cols: Of its columns', ``(cols,)``.
        bounds: The least and the most that rows may have, and columns.
    """

    lattice: Lattice
    points: Tensor
    rows: Tensor
    cols: Tensor
    bounds: tuple[tuple[float, float], tuple[float, float]]

    def weight(self) -> Tensor:
        """Return the tensor as a matrix, gradients passing through to the scales."""
        rows, cols = (_on_grid(axis, self.lattice.resolution) for axis in (self.rows, self.cols))
        return self.points * (rows + cols).exp2()

    def take_back(self) -> None:
        """Bring scales nearer that have moved too far apart to be stored."""
        with torch.no_grad():
            for axis, (least, most) in zip((self.rows, self.cols), self.bounds, strict=True):
                axis.clamp_(least, most)

    def stored(self, given: Prepared) -> Prepared:
        """Return the tensor with the scales as they are now."""
        steps = (
            (axis.detach() * self.lattice.resolution).round() for axis in (self.rows, self.cols)
        )
        points, rows, cols = (part.cpu().numpy().astype(np.int32) for part in (self.points, *steps))
        packed = self.lattice.pack(given.quantized.shape, points, rows.ravel(), cols)
        return replace(given, quantizer=self.lattice, quantized=packed)


def _scaled(given: Prepared, device: str) -> _Scaled | None:
    lattice = given.quantizer
    if not isinstance(lattice, Lattice) or not given.quantized.parts["codes"].size:
        return None
    ratio = -(-RESOLUTION // lattice.resolution)
    finer = replace(lattice, resolution=ratio * lattice.resolution)
    points, rows, cols = lattice.unpack(given.quantized)
    if max(np.ptp(rows), np.ptp(cols)) * ratio > MAX_SPAN - MARGIN:
        return None
    bounds = _bounds(rows * ratio, finer.resolution), _bounds(cols * ratio, finer.resolution)
    log2_step = (rows[:, None] / lattice.resolution, cols / lattice.resolution)
    parts = [torch.from_numpy(part).float().to(device) for part in (points, *log2_step)]
    return _Scaled(finer, parts[0], parts[1].requires_grad_(), parts[2].requires_grad_(), bounds)


def _bounds(scales: NDArray[np.int32], resolution: int) -> tuple[float, float]:
    """Return between which log2_step scales can be stored, as much below them as above."""
    room = (MAX_SPAN - int(np.ptp(scales))) // 2
    return (int(scales.min()) - room) / resolution, (int(scales.max()) + room) / resolution


def _on_grid(log2_step: Tensor, resolution: int) -> Tensor:
    """Round to the grid; gradients pass as if nothing had been rounded."""
    return log2_step + ((log2_step * resolution).round() / resolution - log2_step).detach()
