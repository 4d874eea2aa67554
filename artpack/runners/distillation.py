"""The loss of a model with other tensors, to be learned from batch by batch."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812

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
        first: The batch to begin with, from 0.
    """

    def __init__(
        self,
        runner: Runner,
        batches: Batches,
        places: Places,
        *,
        settings: Settings = REFERENCE,
        first: int = 0,
    ) -> None:
        self._whole, self._loss = _Whole(runner), runner.loss
        self._settings, self._places = settings, places
        self._owners = {
            tensor.untyped_storage().data_ptr(): (name, tensor)
            for name, tensor in runner.module.state_dict(keep_vars=True).items()
            if isinstance(tensor, Tensor)
        }
        self._batches = islice(batches.shuffled(settings.device), first, None)

    def __call__(self, replaced: Mapping[str, Tensor]) -> Tensor:
        """
        Measure the loss on the next batch.

        Args:
            replaced: Stored name to tensor, in place of the model's own. What the model has
                not costs nothing.

        Returns:
            The mean loss of a row, a scalar through which gradients reach the tensors.

        """
        batch = next(self._batches)
        with self._precision():
            with torch.no_grad():
                before = self._loss.reference(self._whole(batch))
            after = self._outputs(batch, replaced)
        return self._loss.distance(before, after).mean()

    def _precision(self) -> torch.autocast:
        device, bf16 = torch.device(self._settings.device).type, self._settings.precision == "bf16"
        return torch.autocast(device, torch.bfloat16, enabled=bf16)

    def _outputs(self, batch: Any, replaced: Mapping[str, Tensor]) -> Tensor:
        """Run a batch with other tensors."""
        state = {f"model.{name}": tensor for name, tensor in self._state(replaced).items()}
        with frozen(self._whole):
            after: Tensor = functional_call(self._whole, state, (batch,))
        return after

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


class NextToken(Distillation):
    """Mean cross-entropy of each next token in batches of ids, int64 (B, T), T at least 2."""

    def __call__(self, replaced: Mapping[str, Tensor]) -> Tensor:
        """Measure the loss on the next batch, in nats per token, see :class:`Distillation`."""
        batch: Tensor = next(self._batches)
        with self._precision():
            logits = self._outputs(batch, replaced)
        predicted = logits.float().view(*batch.shape, -1)[:, :-1]
        return F.cross_entropy(predicted.flatten(0, 1), batch[:, 1:].flatten())


class _Whole(nn.Module):
    """A runner as a module, whose tensors can be replaced for a call."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.model = runner.module
        self._runner = (runner,)  # a tuple, so that it is no module of this one

    def forward(self, batch: Any) -> Tensor:
        runner = self._runner[0]
        return runner.outputs(runner.states(batch))
