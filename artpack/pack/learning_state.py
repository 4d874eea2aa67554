"""What weights have learned so far, kept in a run folder."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from artpack.quantize.rounding.column_sweep import ColumnSweep
from artpack.stages import Config
from artpack.system.run_folder import RunFolder
from artpack.system.tensor_record import read_tensor_record, tensor_record

NAME = "learning"

PARTS = ("change", "mean", "square")
"""What is learned of a tensor, and what Adam knows of its gradients."""


@dataclass(frozen=True, eq=False)
class Learned:
    """
    What was learned with some columns quantized.

    Attributes:
        done: Steps so far, those with fewer columns quantized counted.
        parts: Each of ``PARTS`` by tensor, float32 (rows, free).
    """

    done: int
    parts: Mapping[str, Mapping[str, Tensor]]


class LearningState:
    """
    Keeps what is learned now and then.

    Args:
        run: Where; None for nowhere.
        inputs: All that it follows from, but for how many steps were made.
    """

    def __init__(self, run: RunFolder | None = None, inputs: Config | None = None) -> None:
        self._run, self._inputs = run, inputs or {}
        self._kept_at = time.monotonic()

    def is_due(self) -> bool:
        """Say whether it is time to keep what is learned."""
        return self._run is not None and self._run.is_due()

    def keep(self, sweeps: Mapping[str, ColumnSweep], learned: Learned) -> None:
        """
        Keep what is learned.

        Args:
            sweeps: The tensors, as they were before the columns that are left began to learn.
            learned: What these have learned.

        """
        if self._run is None:
            return
        tensors = {}
        for name, sweep in sweeps.items():
            left, points = sweep.state
            tensors[f"left/{name}"] = torch.from_numpy(left)
            tensors[f"points/{name}"] = torch.from_numpy(points)
        for part, own in learned.parts.items():
            tensors |= {f"{part}/{name}": tensor for name, tensor in own.items()}
        about, seconds = {"done": learned.done}, time.monotonic() - self._kept_at
        content = lambda: tensor_record(about, tensors)  # noqa: E731 - asked for twice
        self._run.keep(NAME, self._inputs, content, seconds=seconds)
        self._kept_at = time.monotonic()

    def restore(self, sweeps: Mapping[str, ColumnSweep]) -> Learned | None:
        """
        Go on from what was kept.

        Args:
            sweeps: The tensors, of which nothing is quantized yet; then as they were.

        Returns:
            What was learned; None if nothing was kept that could be of these tensors.

        """
        file = None if self._run is None else self._run.find(NAME, self._inputs)
        found = None if file is None else read_tensor_record(file)
        if found is None or found[0].keys() != {"done"}:
            return None
        about, tensors = found
        free = {name: len(tensors.get(f"left/{name}", torch.empty(0))) for name in sweeps}
        if {n: (t.dtype, t.shape) for n, t in tensors.items()} != _expected(sweeps, free):
            return None
        for name, sweep in sweeps.items():
            sweep.restore(tensors[f"left/{name}"].numpy(), tensors[f"points/{name}"].numpy())
        parts = {
            part: {name: tensors[f"{part}/{name}"] for name in sweeps if free[name]}
            for part in PARTS
        }
        return Learned(about["done"], parts)


def _expected(
    sweeps: Mapping[str, ColumnSweep], free: Mapping[str, int]
) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Return dtype and shape of all that is kept where so many columns are left."""
    expected: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {}
    for name, sweep in sweeps.items():
        cols, rows = sweep.free, sweep.weight.shape[0]
        expected[f"left/{name}"] = torch.float32, (free[name], rows)
        expected[f"points/{name}"] = torch.int32, (cols - free[name], rows)
        if free[name]:
            for part in PARTS:
                expected[f"{part}/{name}"] = torch.float32, (rows, free[name])
    return expected
