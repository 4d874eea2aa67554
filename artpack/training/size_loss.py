"""
The size of the packed file as a loss: entropy of the symbols, differentiable.

The code lengths come from how often each symbol occurs now; between two levels a weight
is charged a share of both, so its gradient points to the cheaper neighbour.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from artpack.quantize import GroupLevels, RowAsymInt, RowInt, RowPentanary
from artpack.stages.symbols import histogram
from artpack.training.qat import StoredWeight

LEVELS = (RowInt, GroupLevels, RowPentanary, RowAsymInt)
"""Quantizers whose codes are whole numbers of a step, 0 in the middle of the alphabet."""


def bits_per_weight(stored: Iterable[StoredWeight]) -> Tensor:
    """
    Return the mean code length of a model's codes.

    Args:
        stored: Its tensors; those without levels do not count.

    Returns:
        Bits a weight, 0-dim float32, with a gradient on the raw weights.

    """
    tensors = [one for one in stored if isinstance(one.quantizer, LEVELS)]
    weights = sum(one.weight.numel() for one in tensors)
    return torch.stack([_bits(one) for one in tensors]).sum() / max(weights, 1)


def _bits(one: StoredWeight) -> Tensor:
    """Return the code length of a tensor, all of its weights together."""
    symbols = one.quantized.parts["codes"]
    alphabet = one.quantizer.parts(one.quantized.shape)[0].alphabet
    counts = torch.from_numpy(histogram(symbols, alphabet)).float() + 1
    lengths = (counts.sum() / counts).log2().to(one.weight.device)
    weight = one.weight.reshape(symbols.shape).float()
    codes = torch.from_numpy(symbols).to(weight.device).float() - alphabet // 2
    # By least squares: scales are stored in as many ways as there are quantizers.
    raw = weight.detach()
    step = (raw * codes).sum(1, keepdim=True) / codes.square().sum(1, keepdim=True).clamp(min=1)
    place = (weight / step.clamp(min=1e-12) + alphabet // 2).clamp(0, alphabet - 1)
    low = place.detach().floor().clamp(max=alphabet - 2).long()
    share = place - low
    return ((1 - share) * lengths[low] + share * lengths[low + 1]).sum()
