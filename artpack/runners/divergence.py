"""The divergence of a model with some tensors replaced from the model as it is."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.checkpoint import Bank
from artpack.errors import UsageError
from artpack.runners.places import places
from artpack.runners.protocol import Runner
from artpack.runners.settings import REFERENCE, Settings

MAX_LOGITS = 1 << 25
"""Bounds what is kept of the model as it is: 128 MiB of float32."""


class Divergence:
    """
    Mean KL divergence of a model with other tensors from the model as it is.

    Args:
        runner: Its model is on ``settings.device`` and in evaluation mode; as it was after
            every call.
        windows: int64 ``(windows, tokens)``: what both run over.
        banks: Parameters of the model that are stacks of stored tensors.
        settings: Precision and batch size.
    """

    def __init__(
        self,
        runner: Runner,
        windows: NDArray[np.int64],
        *,
        banks: Sequence[Bank] = (),
        settings: Settings = REFERENCE,
    ) -> None:
        self._runner, self._settings = runner, settings
        rows = max(1, settings.batch_tokens // windows.shape[1])
        self._batches = torch.split(torch.from_numpy(windows).to(settings.device), rows)
        self._stride = -(-windows.size * runner.vocab_size // MAX_LOGITS)
        self._places = {**runner.module.state_dict(), **places(runner.module, banks)}
        self._baseline = [log_probs.clone() for log_probs in self._run()]

    @torch.inference_mode()
    def __call__(self, replaced: Mapping[str, Tensor]) -> float:
        """
        Measure the divergence.

        Args:
            replaced: Stored name to tensor, in place of the model's own.

        Returns:
            Nats per token, over every position, or over every n-th where they are too many
            to keep.

        Raises:
            UsageError: The model has no such tensor.

        """
        total, count = 0.0, 0
        with self._with(replaced):
            for baseline, other in zip(self._baseline, self._run(), strict=True):
                total += float((baseline.exp() * (baseline - other)).sum(dtype=torch.float64))
                count += len(other)
        return total / count

    @torch.inference_mode()
    def _run(self) -> Iterator[Tensor]:
        """Yield each batch's logarithms of probabilities, (positions, vocabulary)."""
        for ids in self._batches:
            with torch.autocast(
                ids.device.type, torch.bfloat16, enabled=self._settings.precision == "bf16"
            ):
                hidden = self._runner.hidden(ids).flatten(0, 1)[:: self._stride]
                logits = self._runner.logits(hidden)
            yield logits.float().log_softmax(-1)

    @contextmanager
    def _with(self, replaced: Mapping[str, Tensor]) -> Iterator[None]:
        for name in replaced:
            if name not in self._places:
                raise UsageError(f"the model has no tensor {name!r}")
        kept = {name: self._places[name].clone() for name in replaced}
        try:
            for name, tensor in replaced.items():
                self._places[name].copy_(tensor)
            yield
        finally:
            for name, tensor in kept.items():
                self._places[name].copy_(tensor)
