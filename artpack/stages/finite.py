"""Numbers that are none: found in tensors, and kept out of JSON, which has no word for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from artpack.errors import ScoreError
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor


def check_weights(tensors: Mapping[str, Tensor], source: str) -> None:
    """
    Check that weights can be scored with.

    Args:
        tensors: Parameters by name.
        source: Where they come from, for the message.

    Raises:
        ScoreError: A tensor holds NaN or an infinity.

    """
    for name, tensor in tensors.items():
        wrong = ~torch.isfinite(tensor.detach())
        if wrong.any():
            place = [int(i) for i in wrong.nonzero()[0]]
            value = float(tensor.detach()[tuple(place)])
            raise ScoreError(
                f"{source}: tensor {name!r} is {value} at {place} and in"
                f" {int(wrong.sum()):,} places; weights must be finite"
            )


def without_nan(value: object) -> object:
    """
    Replace every number that JSON cannot hold.

    Args:
        value: Mappings, sequences and plain values, nested.

    Returns:
        The same, None where NaN or an infinity was.

    >>> without_nan({"loss": float("nan"), "rates": (1.5, float("inf"))})
    {'loss': None, 'rates': [1.5, None]}

    """
    if isinstance(value, Mapping):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
