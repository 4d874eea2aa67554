"""
The loss that small errors of stored tensors add, each alone, from one backward pass.

To second order the loss of an error E in a tensor is half the mean of ``<E, g> ** 2``, where
g is the gradient of a draw from the loss (:meth:`~artpack.runners.losses.OutputLoss.sample`).
Draws of different outputs are independent, so one pass over a window gives one sample of
that for every tensor at once, with all that inputs and gradients have to do with each other.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from artpack.runners.batches import Batches
from artpack.runners.losses import draw_loss
from artpack.runners.places import Places
from artpack.runners.protocol import Runner
from artpack.runners.settings import REFERENCE, Settings
from artpack.stages.progress import Progress

FEWEST_SAMPLES = 64
"""With fewer batches each is drawn from more than once."""


class Curvature:
    """
    The second-order loss of errors in a model's tensors.

    Args:
        runner: Its model is on ``settings.device`` and in evaluation mode. Not changed.
        batches: What it runs over: each gives one sample.
        places: Where its stored tensors are.
        settings: Device and precision.
        progress: Told after each sample.
    """

    def __init__(
        self,
        runner: Runner,
        batches: Batches,
        places: Places,
        *,
        settings: Settings = REFERENCE,
        progress: Progress | None = None,
    ) -> None:
        self._runner, self._batches, self._places = runner, batches, places
        self._settings, self._progress = settings, progress

    def __call__(self, errors: Mapping[str, Tensor]) -> dict[str, tuple[float, float]]:
        """
        Estimate what each error alone adds to the loss.

        Args:
            errors: Stored name to what is added to the tensor.

        Returns:
            Stored name to the mean loss of a row of outputs, and the relative variance of
            that estimate, about 2 over the number of samples; those that the model has not
            are left out.

        """
        used = self._owners(errors)
        wanted = list({id(parameter): parameter for parameter in used.values()}.values())
        found: dict[str, list[float]] = {name: [] for name in used}
        rows = 0
        repeats = -(-FEWEST_SAMPLES // len(self._batches))
        samples = [(i, 1 + k) for k in range(repeats) for i in range(len(self._batches))]
        for done, (index, seed) in enumerate(samples, 1):
            gradients, count = self._gradients(index, seed, wanted)
            rows += count
            if self._progress is not None:
                self._progress("measuring sensitivities", done, len(samples))
            for name, whole in used.items():
                gradient, place = gradients[id(whole)], self._places[name]
                offset = place.storage_offset() - whole.storage_offset()
                part = gradient.as_strided(place.shape, place.stride(), offset)
                inner = torch.dot(part.flatten(), errors[name].to(part).flatten())
                found[name].append(float(inner) ** 2)
        return {name: _mean(squares, rows) for name, squares in found.items()}

    def _owners(self, errors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensor of the module that each error is in; some have none."""
        module = self._runner.module
        owners = {
            tensor.untyped_storage().data_ptr(): tensor
            for tensor in (*module.buffers(), *module.parameters())
            if tensor.is_floating_point()
        }
        places = {name: self._places[name] for name in errors if name in self._places}
        found = {n: owners.get(place.untyped_storage().data_ptr()) for n, place in places.items()}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def _gradients(
        self, index: int, seed: int, wanted: Sequence[Tensor]
    ) -> tuple[dict[int, Tensor], int]:
        """Return the gradient of each parameter for one draw, and the rows of its outputs."""
        settings, learning = self._settings, [parameter.requires_grad for parameter in wanted]
        for parameter in wanted:
            parameter.requires_grad_()
        try:
            batch = self._batches.load(index, settings.device)
            bf16 = settings.precision == "bf16"
            with torch.autocast(torch.device(settings.device).type, torch.bfloat16, enabled=bf16):
                outputs = self._runner.outputs(self._runner.states(batch))
            sampled = draw_loss(self._runner.loss, outputs, self._batches.draws(index, seed))
            found = torch.autograd.grad(sampled, wanted, allow_unused=True)
        finally:
            for parameter, was in zip(wanted, learning, strict=True):
                parameter.requires_grad_(was)
        pairs = zip(wanted, found, strict=True)
        return {id(p): torch.zeros_like(p) if g is None else g.contiguous() for p, g in pairs}, len(
            outputs
        )


def _mean(squares: Sequence[float], rows: int) -> tuple[float, float]:
    """Return the loss of a row, and the relative variance of its estimate."""
    total, count = sum(squares), len(squares)
    if not total:
        return 0.0, 0.0
    spread = sum(square**2 for square in squares) * count / total**2 - 1
    return total / (2 * rows), spread / count
