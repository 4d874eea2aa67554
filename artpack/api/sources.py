"""Weights to work on: files, folders, state dicts and modules, one or the average of several."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from artpack.api.carried import files_of_gguf, files_of_module
from artpack.checkpoint import (
    Average,
    Checkpoint,
    ema_weights,
    from_state_dict,
    mean_weights,
    open_checkpoint,
    restore,
)
from artpack.checkpoint.repository import snapshot_of
from artpack.errors import UsageError
from artpack.models import GPT, ModelConfig, build
from artpack.models.defects import as_meant
from artpack.stages import Config
from artpack.stages.finite import check_weights

WeightSource: TypeAlias = str | os.PathLike[str] | Mapping[str, Tensor] | nn.Module
"""A file or folder of weights, a state dict, or a module."""


@dataclass(frozen=True, eq=False)
class Opened:
    """
    Weights that are ready to be read.

    Attributes:
        checkpoint: The checkpoint, or the average.
        path: File of the last checkpoint; None for weights in memory.
        config: The model's config, if the weights came in a module of ours.
        provenance: What an artifact says of where they come from.
        files: What a model of another library needs besides its weights, where that lies in
            no folder beside them.
        module: The module that the weights came in, if they did.
    """

    checkpoint: Checkpoint
    path: Path | None
    config: ModelConfig | None
    provenance: Config
    files: dict[str, bytes] = field(default_factory=dict)
    module: nn.Module | None = None

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "the weights" if self.path is None else str(self.path)


@contextmanager
def open_source(
    source: WeightSource | Sequence[str | os.PathLike[str]],
    *,
    key: str | None = None,
    strip_prefix: str | None = None,
    average: str | None = None,
    decay: float | None = None,
) -> Iterator[Opened]:
    """
    Open weights, or the average of several checkpoints.

    Args:
        source: The weights; a sequence of paths to be averaged.
        key: Where in a file of ``torch.save`` the state dict is.
        strip_prefix: What to take off the names.
        average: ``mean`` or ``ema``, for several checkpoints.
        decay: Of ``ema``: what is kept of the average at each further checkpoint.

    Yields:
        The weights, closed afterwards.

    Raises:
        CheckpointError: They are not usable.
        UsageError: Arguments do not go together.

    """
    if isinstance(source, Mapping | nn.Module):
        state = source if isinstance(source, Mapping) else source.state_dict()
        config = source.config if isinstance(source, GPT) else None
        module = source if isinstance(source, nn.Module) else None
        with from_state_dict(state) as checkpoint, _as_it_was(module):
            files = {} if module is None else files_of_module(module)
            yield Opened(checkpoint, None, config, {}, files, module)
        return
    named = (source,) if isinstance(source, str | os.PathLike) else source
    paths = [snapshot_of(Path(one)) for one in named]
    _check_usage(len(paths), average, decay)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(open_checkpoint(path, key=key, strip_prefix=strip_prefix))
            for path in paths
        ]
        if average is None:
            yield Opened(opened[0], paths[0], None, {}, files_of_gguf(paths[0]))
            return
        count = len(opened)
        weights = mean_weights(count) if decay is None else ema_weights(count, decay)
        sources: list[Config] = [{"sha256": one.sha256} for one in opened]
        provenance: Config = {
            "average": {"kind": average, "decay": decay, "sources": list(sources)}
        }
        mean = stack.enter_context(Average(opened, weights))
        yield Opened(mean, paths[-1], None, provenance)


@contextmanager
def _as_it_was(module: nn.Module | None) -> Iterator[None]:
    """Give a module back in the modes and on the device that it came with."""
    parts = [] if module is None else list(module.modules())
    modes = [part.training for part in parts]
    tensors = [] if module is None else [*module.parameters(), *module.buffers()]
    devices = {tensor.device for tensor in tensors}
    try:
        yield
    finally:
        for part, training in zip(parts, modes, strict=True):
            part.training = training
        if module is not None and len(devices) == 1:
            module.to(devices.pop())


def check_device(device: str) -> None:
    """
    Check that a model can go where it is asked to.

    Args:
        device: As torch names it: ``cpu``, ``cuda:1``, ``mps``, ``xpu``.

    Raises:
        UsageError: Torch knows no such device, it holds no numbers, or it is not there.

    """
    try:
        asked = torch.device(str(device))
    except RuntimeError as error:
        raise UsageError(
            f"`device` {device!r}: torch knows no such device; give cpu, cuda, cuda:1, mps or xpu"
        ) from error
    if asked.type == "meta":
        raise UsageError("`device` meta: tensors hold no numbers there")
    try:
        torch.zeros(1, device=asked).cpu()
    except Exception as error:
        # What torch raises for a device that is not there differs from one to the next.
        raise UsageError(f"`device` {device}: this machine has no such device") from error


def build_model(checkpoint: Checkpoint, config: ModelConfig, device: str) -> GPT:
    """
    Build a checkpoint's model, as its authors meant it.

    Args:
        checkpoint: The weights.
        config: The model.
        device: Where it goes.

    Returns:
        The model, in evaluation mode.

    Raises:
        CheckpointError: The tensors are those of another model.
        ScoreError: A weight is not finite.
        UsageError: This machine has no such device.

    """
    check_device(device)
    stored = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
    tensors = restore(checkpoint.names, stored, checkpoint.ties, checkpoint.banks)
    model = build(as_meant(config), tensors).to(device)
    check_weights(dict(model.named_parameters()), "the checkpoint")
    return model


def _check_usage(count: int, average: str | None, decay: float | None) -> None:
    if average is None and count > 1:
        raise UsageError(f"{count} checkpoints: say with `average` how to make one of them")
    if (average == "ema") != (decay is not None):
        raise UsageError("`average` 'ema' and `decay` go together")
