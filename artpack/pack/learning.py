"""What is learned by while a file is made, and how fast."""

import math
from collections.abc import Callable, Mapping

from torch import Tensor

Objective = Callable[[Mapping[str, Tensor]], Tensor]
"""From stored tensors to their loss on the next batch, a scalar that can be differentiated."""

WARMUP_STEPS = 5


def rate_share(step: int, steps: int) -> float:
    """
    Return the learning rate as a share of the highest: up in a line, down along a cosine.

    Args:
        step: From 0.
        steps: How many there will be.

    Returns:
        Above 0, at most 1.

    >>> [round(rate_share(step, 20), 2) for step in (0, 4, 10, 19)]
    [0.2, 0.9, 0.5, 0.01]

    """
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 + math.cos(math.pi * step / steps)) / 2
