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

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from artpack.checkpoint import Bank
from artpack.checkpoint.banks import close_bank
from artpack.errors import UsageError
from artpack.evaluate.scoring.forward import REFERENCE, Settings
from artpack.models import GPT
from artpack.pack.prepare import Prepared
from artpack.quantize.grids.lattice import MAX_SPAN, Lattice

Progress = Callable[[int, int], None]
"""Called with the number of steps done and of all steps."""

RESOLUTION = 32
"""Steps of learned scales in an octave. With 16, rounding takes back half of what is learned."""

BATCH_TOKENS = 4096
LEARNING_RATE = 0.006
"""Octaves a step, for the most."""

WARMUP_STEPS = 10
MARGIN = 16
"""Steps that scales must be able to move apart."""


def tune(
    model: GPT,
    windows: NDArray[np.int64],
    prepared: Mapping[str, Prepared],
    *,
    steps: int,
    banks: Sequence[Bank] = (),
    settings: Settings = REFERENCE,
    progress: Progress | None = None,
) -> dict[str, Prepared]:
    """
    Learn the scales of tensors on lattices.

    Args:
        model: As it was before; on ``settings.device``, in evaluation mode. Not changed.
        windows: int64 ``(windows, tokens)``: what to learn from, over and over if need be.
        prepared: Stored name to tensor. Others than those on lattices stay as they are.
        steps: How often the scales are changed.
        banks: Parameters of the model that are stacks of stored tensors.
        settings: Device and precision.
        progress: Told after each step.

    Returns:
        The same tensors with the same codes. Their reports are of before.

    Raises:
        UsageError: The model has no such tensor.

    """
    scaled = {name: one for name, given in prepared.items() if (one := _scaled(given, settings))}
    if not scaled:
        return dict(prepared)
    learned = [tensor for one in scaled.values() for tensor in (one.rows, one.cols)]
    optimizer = torch.optim.Adam(learned, betas=(0.9, 0.99))
    for step, ids in enumerate(_batches(windows, steps, settings.device)):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * _share(step, steps)
        optimizer.zero_grad()
        loss = _divergence(model, _weights(model, scaled, banks), ids, settings)
        torch.autograd.backward(loss)
        optimizer.step()
        for one in scaled.values():
            one.take_back()
        if progress is not None:
            progress(step + 1, steps)
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
        rows: Octaves of its rows' scales, float32 ``(rows, 1)``.
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


def _scaled(given: Prepared, settings: Settings) -> _Scaled | None:
    lattice = given.quantizer
    if not isinstance(lattice, Lattice) or not given.quantized.parts["codes"].size:
        return None
    ratio = -(-RESOLUTION // lattice.resolution)
    finer = replace(lattice, resolution=ratio * lattice.resolution)
    points, rows, cols = lattice.unpack(given.quantized)
    if max(np.ptp(rows), np.ptp(cols)) * ratio > MAX_SPAN - MARGIN:
        return None
    bounds = _bounds(rows * ratio, finer.resolution), _bounds(cols * ratio, finer.resolution)
    octaves = (rows[:, None] / lattice.resolution, cols / lattice.resolution)
    parts = [torch.from_numpy(part).float().to(settings.device) for part in (points, *octaves)]
    return _Scaled(finer, parts[0], parts[1].requires_grad_(), parts[2].requires_grad_(), bounds)


def _bounds(scales: NDArray[np.int32], resolution: int) -> tuple[float, float]:
    """Return between which octaves scales can be stored, as much below them as above."""
    room = (MAX_SPAN - int(np.ptp(scales))) // 2
    return (int(scales.min()) - room) / resolution, (int(scales.max()) + room) / resolution


def _on_grid(octaves: Tensor, resolution: int) -> Tensor:
    """Round to the grid; gradients pass as if nothing had been rounded."""
    return octaves + ((octaves * resolution).round() / resolution - octaves).detach()


def _weights(model: GPT, scaled: Mapping[str, _Scaled], banks: Sequence[Bank]) -> dict[str, Tensor]:
    """Return the model's tensors with others in the place of those that are learned."""
    state = model.state_dict()
    weights = {name: one.weight() for name, one in scaled.items()}
    for bank in banks:
        slices = dict(zip(bank.members, state[bank.name].unbind(), strict=True))
        state[bank.name] = close_bank(
            bank, {name: weights.pop(name, part) for name, part in slices.items()}
        )
    if unknown := weights.keys() - state.keys():
        raise UsageError(f"the model has no tensor {min(unknown)!r}")
    return state | {name: weight.reshape(state[name].shape) for name, weight in weights.items()}


def _divergence(model: GPT, weights: dict[str, Tensor], ids: Tensor, settings: Settings) -> Tensor:
    """Return the mean KL divergence of the model with other weights, in nats a token."""
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        with torch.no_grad():
            before = model(ids).float().log_softmax(-1)
        logits: Tensor = functional_call(model, weights, (ids,))
    after = logits.float().log_softmax(-1)
    per_token: Tensor = (before.exp() * (before - after)).sum(-1)
    return per_token.mean()


def _batches(windows: NDArray[np.int64], steps: int, device: str) -> Iterator[Tensor]:
    """Yield windows in random order, all of them before any comes again."""
    rows = max(1, BATCH_TOKENS // windows.shape[1])
    draw, order = np.random.default_rng(0), np.empty(0, np.int64)
    for _ in range(steps):
        while len(order) < rows:
            order = np.concatenate([order, draw.permutation(len(windows))])
        yield torch.from_numpy(windows[order[:rows]]).to(device)
        order = order[rows:]


def _share(step: int, steps: int) -> float:
    """Return the learning rate as a share of the highest: up in a line, down along a cosine."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 + math.cos(math.pi * step / steps)) / 2
