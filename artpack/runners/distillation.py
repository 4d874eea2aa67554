"""The divergence of a model with other tensors from itself, to be learned from batch by batch."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from artpack.calibration.windows import Windows
from artpack.checkpoint import Bank
from artpack.checkpoint.banks import close_bank
from artpack.errors import UsageError
from artpack.runners.protocol import Runner
from artpack.runners.settings import REFERENCE, Settings

BATCH_TOKENS = 4096


class Distillation:
    """
    Mean KL divergence over one batch of windows after another, differentiable.

    Windows come in random order, all of them before any comes again.

    Args:
        runner: Its model is on ``settings.device`` and in evaluation mode. Not changed.
        windows: What to learn from.
        banks: Parameters of the model that are stacks of stored tensors.
        settings: Device and precision.
    """

    def __init__(
        self,
        runner: Runner,
        windows: Windows,
        *,
        banks: Sequence[Bank] = (),
        settings: Settings = REFERENCE,
    ) -> None:
        self._module, self._banks, self._settings = runner.module, banks, settings
        self._batches = _batches(windows, settings.device)

    def __call__(self, replaced: Mapping[str, Tensor]) -> Tensor:
        """
        Measure the divergence on the next batch.

        Args:
            replaced: Stored name to tensor, in place of the model's own.

        Returns:
            Nats per token, a scalar through which gradients reach the tensors.

        Raises:
            UsageError: The model has no such tensor.

        """
        ids, bf16 = next(self._batches), self._settings.precision == "bf16"
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=bf16):
            with torch.no_grad():
                before = self._module(ids).float().log_softmax(-1)
            logits: Tensor = functional_call(self._module, self._state(replaced), (ids,))
        after = logits.float().log_softmax(-1)
        per_token: Tensor = (before.exp() * (before - after)).sum(-1)
        return per_token.mean()

    def _state(self, replaced: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the model's tensors with others in the place of those that are replaced."""
        state, weights = self._module.state_dict(), dict(replaced)
        for bank in self._banks:
            slices = dict(zip(bank.members, state[bank.name].unbind(), strict=True))
            state[bank.name] = close_bank(
                bank, {name: weights.pop(name, part) for name, part in slices.items()}
            )
        if unknown := weights.keys() - state.keys():
            raise UsageError(f"the model has no tensor {min(unknown)!r}")
        return state | {name: weight.reshape(state[name].shape) for name, weight in weights.items()}


def _batches(windows: Windows, device: str) -> Iterator[Tensor]:
    rows = max(1, BATCH_TOKENS // windows.shape[1])
    draw, order = np.random.default_rng(0), np.empty(0, np.int64)
    while True:
        while len(order) < rows:
            order = np.concatenate([order, draw.permutation(len(windows))])
        yield torch.from_numpy(windows[order[:rows]]).to(device)
        order = order[rows:]
