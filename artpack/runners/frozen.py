"""Gradients that are wanted for a while, and those that are not."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from artpack.checkpoint.source import reason
from artpack.errors import UsageError


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """
    Spare the gradients of a model's weights, which nobody wants.

    Args:
        model: What runs in between; afterwards as it was.

    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad = True


@contextmanager
def gradients() -> Iterator[None]:
    """Allow gradients, whatever mode the caller is in."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


def go_back(scalar: Tensor) -> None:
    """
    Let gradients flow from a scalar.

    Args:
        scalar: Of a model's outputs.

    Raises:
        UsageError: Something in the model does not let them.

    """
    try:
        torch.autograd.backward(scalar)
    except RuntimeError as error:
        raise UsageError(
            f"gradients do not come back through the model ({reason(error)}): turn off what"
            " forbids it, as checkpointing of activations does"
        ) from error
