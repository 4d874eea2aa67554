"""The loss of a model with some tensors replaced, against the model as it is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from artpack.runners.batches import Batches
from artpack.runners.places import Places
from artpack.runners.protocol import Runner
from artpack.runners.settings import REFERENCE, Settings

MAX_OUTPUTS = 1 << 25
"""Bounds what is kept of the model as it is: 128 MiB of float32."""


class Divergence:
    """
    Mean loss of a model with other tensors, against the model as it is.

    Args:
        runner: Its model is on ``settings.device`` and in evaluation mode; as it was after
            every call.
        batches: What both run over.
        places: Where its stored tensors are.
        settings: Device and precision.
    """

    def __init__(
        self,
        runner: Runner,
        batches: Batches,
        places: Places,
        *,
        settings: Settings = REFERENCE,
    ) -> None:
        self._runner, self._settings = runner, settings
        self._batches, self._places = batches, places
        self._stride = 1
        self._stride = self._needed_stride()
        self._baseline = [runner.loss.reference(outputs).clone() for outputs in self._run()]

    @torch.inference_mode()
    def __call__(self, replaced: Mapping[str, Tensor]) -> float:
        """
        Measure the loss.

        Args:
            replaced: Stored name to tensor, in place of the model's own. What the model has
                not costs nothing.

        Returns:
            Mean over every row of outputs, or over every n-th where they are too many to
            keep, in the unit of the runner's loss.

        """
        total, count = 0.0, 0
        with self._with(replaced):
            for baseline, outputs in zip(self._baseline, self._run(), strict=True):
                rows = self._runner.loss.distance(baseline, outputs)
                total += float(rows.sum(dtype=torch.float64))
                count += len(baseline)
        return total / count

    def _needed_stride(self) -> int:
        """Return how many rows apart those must be that are kept."""
        first = next(iter(self._run()))
        return -(-len(self._batches) * first.numel() // MAX_OUTPUTS)

    @torch.inference_mode()
    def _run(self) -> Iterator[Tensor]:
        """Yield each batch's outputs, (rows, d)."""
        device, bf16 = self._settings.device, self._settings.precision == "bf16"
        for index in range(len(self._batches)):
            batch = self._batches.load(index, device)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
                states = self._runner.states(batch)[:: self._stride]
                outputs = self._runner.outputs(states)
            yield outputs

    @contextmanager
    def _with(self, replaced: Mapping[str, Tensor]) -> Iterator[None]:
        known = {name: tensor for name, tensor in replaced.items() if name in self._places}
        kept = {name: self._places[name].clone() for name in known}
        try:
            for name, tensor in known.items():
                self._places[name].copy_(tensor)
            yield
        finally:
            for name, tensor in kept.items():
                self._places[name].copy_(tensor)
