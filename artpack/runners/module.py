"""Runner of any torch module."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from artpack.calibration.file import hash_config
from artpack.checkpoint.source import reason
from artpack.errors import ArtpackError, UsageError
from artpack.runners.losses import OutputLoss, SquaredLoss
from artpack.stages import Config

Forward = Callable[[nn.Module, Any], Any]
"""Runs a module on a batch."""

FIELDS = ("logits", "last_hidden_state")
"""Where modules of transformers have their outputs."""


class ModuleRunner:
    """
    A module whose outputs are to stay what they are.

    Args:
        module: On its device and in evaluation mode.
        forward: Runs it on a batch; by default a batch is its argument, a tuple its
            arguments, and a mapping its named arguments.
    """

    def __init__(self, module: nn.Module, forward: Forward | None = None) -> None:
        self.module = module
        self._forward = forward or call
        self.loss: OutputLoss = SquaredLoss()
        self.default_loss = "outputs"

    @property
    def fingerprint(self) -> str:
        """Hash of the names and shapes of what it is made of, in hexadecimal."""
        named = self.module.state_dict().items()
        shapes: Config = {n: list(t.shape) for n, t in named if isinstance(t, Tensor)}
        kinds = [type(part).__qualname__ for part in self.module.modules()]
        return hash_config({"shapes": shapes, "modules": list(kinds)})

    def states(self, batch: Any) -> Tensor:
        """Return the module's outputs, (n, d): every axis but the last counts rows."""
        return as_rows(first_tensor(self._forward(self.module, batch)))

    def outputs(self, states: Tensor) -> Tensor:
        """Return the outputs themselves."""
        return states


def call(module: nn.Module, batch: Any) -> Any:
    """
    Run a module on a batch.

    Args:
        module: The module.
        batch: Its argument; or a tuple or list of arguments; or a mapping of named ones.

    Returns:
        What it returns.

    Raises:
        UsageError: The module does not take such a batch.

    """
    try:
        if isinstance(batch, Mapping):
            return module(**batch)
        if isinstance(batch, list | tuple):
            return module(*batch)
        return module(batch)
    except ArtpackError:
        raise
    except Exception as error:  # whatever a module makes of what it does not take
        raise UsageError(
            f"{type(module).__name__} cannot run a batch of {_named(batch)}"
            f" ({reason(error)}): give batches as it takes them, or say with `forward=` how it"
            " is run"
        ) from error


def as_rows(output: Tensor) -> Tensor:
    """
    Put every axis of outputs but the last into one.

    Args:
        output: Of a module, of any shape.

    Returns:
        The same, (n, d).

    Raises:
        UsageError: There are no rows.

    >>> import torch
    >>> as_rows(torch.zeros(2, 3, 4)).shape
    torch.Size([6, 4])

    """
    if not output.numel():
        raise UsageError("a batch gives no outputs: leave empty batches out")
    return output.reshape(-1, 1) if output.ndim < 2 else output.flatten(0, -2)


def first_tensor(result: Any) -> Tensor:
    """
    Find the outputs in what a module returned.

    Args:
        result: A tensor; the outputs of a module of transformers; or a sequence whose
            first element is one of these.

    Returns:
        The outputs, floating point.

    Raises:
        UsageError: There is none.

    """
    for field in FIELDS:
        found = result.get(field) if isinstance(result, Mapping) else getattr(result, field, None)
        if found is not None:
            result = found
    if isinstance(result, list | tuple) and result:
        return first_tensor(result[0])
    if not isinstance(result, Tensor) or not result.is_floating_point():
        raise UsageError(
            f"the model gives {_named(result)}, not a tensor of real numbers: say with"
            " `forward=` what its outputs are"
        )
    return result


def _named(value: Any) -> str:
    """Say what a batch or an output is."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"named values {', '.join(map(str, value))}" if value else "no values"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_named, value))})"
    return type(value).__name__
