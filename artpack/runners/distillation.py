"""The loss of a model with other tensors against itself, to be learned from batch by batch."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from artpack.runners.batches import Batches
from artpack.runners.frozen import frozen
from artpack.runners.places import Places
from artpack.runners.protocol import Runner
from artpack.runners.settings import REFERENCE, Settings


class Distillation:
    """
    Mean loss over one batch after another, differentiable.

    Batches come in random order, all of them before any comes again.

    Args:
        runner: Its model is on ``settings.device`` and in evaluation mode. Not changed.
        batches: What to learn from.
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
        self._whole, self._loss = _Whole(runner), runner.loss
        self._settings, self._places = settings, places
        self._owners = {
            tensor.untyped_storage().data_ptr(): (name, tensor)
            for name, tensor in runner.module.state_dict(keep_vars=True).items()
            if isinstance(tensor, Tensor)
        }
        self._batches = batches.shuffled(settings.device)

    def __call__(self, replaced: Mapping[str, Tensor]) -> Tensor:
        """
        Measure the loss on the next batch.

        Args:
            replaced: Stored name to tensor, in place of the model's own. What the model has
                not costs nothing.

        Returns:
            The mean loss of a row, a scalar through which gradients reach the tensors.

        """
        batch, settings = next(self._batches), self._settings
        device, bf16 = torch.device(settings.device).type, settings.precision == "bf16"
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            with torch.no_grad():
                before = self._loss.reference(self._whole(batch))
            state = {f"model.{name}": tensor for name, tensor in self._state(replaced).items()}
            with frozen(self._whole):
                after: Tensor = functional_call(self._whole, state, (batch,))
        return self._loss.distance(before, after).mean()

    def _state(self, replaced: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's own tensors that are others now."""
        changed: dict[str, Tensor] = {}
        for name, weight in replaced.items():
            if name not in self._places:
                continue
            place = self._places[name]
            owner, whole = self._owners[place.untyped_storage().data_ptr()]
            if owner not in changed:
                changed[owner] = whole.detach().clone()
            where = place.shape, place.stride(), place.storage_offset() - whole.storage_offset()
            changed[owner].as_strided(*where).copy_(weight.reshape(place.shape))
        return changed


class _Whole(nn.Module):
    """A runner as a module, whose tensors can be replaced for a call."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.model = runner.module
        self._runner = (runner,)  # a tuple, so that it is no module of this one

    def forward(self, batch: Any) -> Tensor:
        runner = self._runner[0]
        return runner.outputs(runner.states(batch))
