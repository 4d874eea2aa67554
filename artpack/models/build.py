"""A model out of a config and a checkpoint's tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from artpack.errors import CheckpointError
from artpack.models.config import ModelConfig
from artpack.models.gpt import GPT

SHOWN_NAMES = 4
"""How many tensor names an error message lists."""


def build(
    config: ModelConfig,
    state_dict: Mapping[str, Tensor],
    dtype: torch.dtype | None = torch.float32,
) -> GPT:
    """
    Make a model and give it a checkpoint's weights.

    Args:
        config: The model.
        state_dict: Name to tensor, exactly the model's own names and shapes. The tensors
            are copied.
        dtype: What floating-point tensors become; None keeps each one's own.

    Returns:
        The model in evaluation mode, on the tensors' devices.

    Raises:
        CheckpointError: A tensor is missing, unknown, or of the wrong shape.

    """
    check_shapes(expected_shapes(config), {name: tuple(t.shape) for name, t in state_dict.items()})
    with torch.device("meta"):
        model = GPT(config)
    own = {name: tensor.to(dtype or tensor.dtype, copy=True) for name, tensor in state_dict.items()}
    model.load_state_dict(own, assign=True)
    return model.eval()


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """
    Return the tensors that a checkpoint of a model holds.

    Args:
        config: The model.

    Returns:
        Name to shape. Nothing is allocated.

    """
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in GPT(config).state_dict().items()}


def parameter_count(config: ModelConfig) -> int:
    """
    Return how many numbers a model has learned.

    Args:
        config: The model.

    Returns:
        The count; a stored temperature is not one of them.

    """
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in GPT(config).parameters())


def check_shapes(
    expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]
) -> None:
    """
    Check that a checkpoint holds a model's tensors and no others.

    Args:
        expected: Name to shape, from the model.
        given: Name to shape, from the checkpoint.

    Raises:
        CheckpointError: It does not; the message names the tensors.

    """
    faults = []
    if missing := sorted(expected.keys() - given.keys()):
        faults.append(f"missing {_listed(missing)}")
    if unknown := sorted(given.keys() - expected.keys()):
        faults.append(f"unexpected {_listed(unknown)}")
    wrong = [
        f"{name} is {given[name]}, not {shape}"
        for name, shape in expected.items()
        if name in given and given[name] != shape
    ]
    if wrong:
        faults.append(_listed(wrong))
    if faults:
        raise CheckpointError(f"the checkpoint does not fit the model: {'; '.join(faults)}")


def _listed(names: list[str]) -> str:
    rest = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")
