"""
The collection of a calibration: a model runs over windows, and moments are summed up.

Windows are dealt to ranks batch by batch and the sums are added up over ranks, so
every rank ends with the same calibration. Random numbers belong to positions of the
tokens, not to batches or ranks: neither changes the labels that are drawn.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.calibration.file import Calibration
from artpack.calibration.moments import Moments
from artpack.calibration.windows import Windows, hash_tokens
from artpack.models.generate import draw_tokens
from artpack.runners.protocol import Runner
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress
from artpack.system.ranks import Ranks
from artpack.version import __version__

CALIBRATION = Settings(batch_tokens=2048)
"""Few tokens at once: with output_covariances, lm6m keeps 200 KB of activations a token."""

_POSITIONS_AT_ONCE = 2048
"""Bounds the logits in memory."""


def collect(
    runner: Runner,
    windows: Windows,
    *,
    fisher: bool = True,
    seed: int = 0,
    settings: Settings = CALIBRATION,
    progress: Progress | None = None,
) -> Moments:
    """
    Run a model over windows and sum up its moments over all ranks.

    With ``fisher``, every position draws one label from the model's own distribution,
    and the summed loss of these labels goes back through the model. That is one sample
    of the true Fisher information, not the empirical one of the data's labels.

    Args:
        runner: Its model is on ``settings.device`` and in evaluation mode.
        windows: What to run; each starts anew.
        fisher: Collect gradients too.
        seed: Of the labels.
        settings: Device, precision and tokens a batch.
        progress: Told after every batch.

    Returns:
        Sums over all windows, the same in every rank.

    """
    rows = max(1, settings.batch_tokens // windows.shape[1])
    draws = np.random.default_rng(seed).random(windows.shape, np.float32) if fisher else None
    ranks, moments = Ranks.current(), Moments()
    with _frozen(runner.module), moments.watch(runner.places()):
        for low in range(ranks.rank * rows, len(windows), ranks.world * rows):
            part = slice(low, low + rows)
            ids = torch.from_numpy(windows[part]).to(settings.device)
            _run(runner, ids, None if draws is None else draws[part], settings)
            if progress is not None:
                progress(
                    "calibrating", min(low + rows, len(windows)) * windows.shape[1], windows.size
                )
    if ranks.world > 1:
        _add_over_ranks(moments, settings.device, ranks.world)
    return moments


def _add_over_ranks(moments: Moments, device: str, world: int) -> None:
    # An expert that no token of this rank reached may have been reached elsewhere.
    known: list[Any] = [None] * world
    torch.distributed.all_gather_object(known, moments.shapes())
    for shapes in known:
        moments.fill(shapes, device)
    for total in moments.tensors():
        torch.distributed.all_reduce(total)


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Spare the gradients of the weights, which nobody wants."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_()


def _run(
    runner: Runner, ids: Tensor, draws: NDArray[np.float32] | None, settings: Settings
) -> None:
    """Run windows (B, T), and if there are draws (B, T), go back from the labels they choose."""
    autocast = torch.autocast(ids.device.type, torch.bfloat16, enabled=settings.precision == "bf16")
    with autocast, torch.set_grad_enabled(draws is not None):
        hidden = runner.hidden(ids)
    states = hidden.detach().flatten(0, 1).requires_grad_(draws is not None)
    uniform = None if draws is None else torch.from_numpy(draws).flatten().to(ids.device)
    for low in range(0, len(states), _POSITIONS_AT_ONCE):
        part = slice(low, low + _POSITIONS_AT_ONCE)
        with autocast, torch.set_grad_enabled(uniform is not None):
            logits = runner.logits(states[part]).float()
        if uniform is not None:
            labels = draw_tokens(logits.detach(), uniform[part])
            torch.autograd.backward(F.cross_entropy(logits, labels, reduction="sum"))
    if states.grad is not None:
        torch.autograd.backward(hidden, states.grad.view_as(hidden))


def calibrate(
    runner: Runner,
    windows: Windows,
    *,
    weights_sha256: str,
    fisher: bool = True,
    seed: int = 0,
    settings: Settings = CALIBRATION,
    progress: Progress | None = None,
) -> Calibration:
    """
    Collect a model's calibration.

    Args:
        runner: Its model is on ``settings.device`` and in evaluation mode.
        windows: What to run.
        weights_sha256: Hash of its weights, as ``Checkpoint.weights_sha256`` has it.
        fisher: Collect gradients too.
        seed: Of the labels that gradients are taken for.
        settings: Device, precision and tokens a batch.
        progress: Told after every batch.

    Returns:
        The calibration, the same in every rank.

    """
    moments = collect(
        runner, windows, fisher=fisher, seed=seed, settings=settings, progress=progress
    )
    tokens = windows.size
    return Calibration(
        hessians=_reached(moments.mean_hessians(tokens)),
        row_information=_reached(moments.mean_rows(tokens)),
        lookup_information=_reached(moments.mean_lookups(tokens)),
        output_covariances=_reached(moments.mean_output_covariances(tokens)),
        tokens=tokens,
        fingerprint={
            "artpack": __version__,
            "weights_sha256": weights_sha256,
            "model_sha256": runner.fingerprint,
            "tokens_sha256": hash_tokens(windows),
            "settings": {
                "window_tokens": windows.shape[1],
                "fisher": fisher,
                "seed": seed if fisher else None,
                "precision": settings.precision,
            },
        },
    )


def _reached(means: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what no token reached: nothing is known of it."""
    return {name: mean for name, mean in means.items() if mean.any()}
