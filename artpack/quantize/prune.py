"""Weights that are set to zero before anything is rounded."""

import torch
from torch import Tensor


def prune_smallest(weight: Tensor, share: float) -> Tensor:
    """
    Set the smallest weights of a tensor to zero.

    Args:
        weight: Floating point, any shape.
        share: Which share of all magnitudes the threshold exceeds, 0 to 1. It lies
            between two magnitudes in proportion, and becomes one of the weight's dtype.

    Returns:
        A copy with every weight below the threshold zero.

    Source: parameter-golf pull request 576.

    >>> prune_smallest(torch.tensor([3.0, -1.0, 2.0, -4.0]), 0.5).tolist()
    [3.0, 0.0, 0.0, -4.0]

    """
    magnitudes = weight.detach().abs()
    if magnitudes.numel() == 0:
        return weight.detach().clone()
    ordered = magnitudes.float().flatten().sort().values
    # All fp32 as torch.quantile, which refuses more than 16 million values.
    rank = torch.tensor(share, dtype=torch.float32) * (len(ordered) - 1)
    below, above = ordered[rank.floor().long()], ordered[rank.ceil().long()]
    threshold = torch.lerp(below, above, rank - rank.floor()).to(weight.dtype)
    return weight.detach().masked_fill(magnitudes < threshold, 0)
