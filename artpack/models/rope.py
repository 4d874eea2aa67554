"""Rotary position embedding: plain, partial, with an NTK base, and YaRN."""

import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.models.document_mask import Documents
from artpack.models.mechanisms import Ntk, Rope, Yarn


def rope_tables(
    rope: Rope,
    ids: Tensor,
    documents: Documents | None = None,
    window_tokens: int | None = None,
) -> tuple[Tensor, Tensor]:
    """
    Return the cosines and sines that rotate queries and keys.

    Args:
        rope: The mechanism's settings.
        ids: (B, T) tokens, for their number and device.
        documents: Packed documents; each starts at position 0 unless the settings let
            positions run on.
        window_tokens: Length that an NTK base follows; None takes that of the rows.

    Returns:
        Cosines and sines, float32, (T, dims / 2) or (B, T, dims / 2).

    """
    frequencies = rope_frequencies(rope, window_tokens or ids.size(1)).to(ids.device)
    if documents is None or rope.crosses_documents:
        positions = torch.arange(ids.size(1), device=ids.device)
    else:
        positions = documents.positions
    if rope.arithmetic == "bf16":
        angles = positions.bfloat16()[..., None] * frequencies.bfloat16()
    else:
        angles = positions.float()[..., None] * frequencies
    return angles.cos().float(), angles.sin().float()


def rope_frequencies(rope: Rope, window_tokens: int) -> Tensor:
    """
    Return the angle that one position adds to each pair of channels.

    Args:
        rope: The mechanism's settings.
        window_tokens: Length of the input, which an NTK base may follow.

    Returns:
        float32 (dims / 2), descending.

    Raises:
        UsageError: The base would have to grow, and 2 dims cannot follow it.

    >>> rope_frequencies(Rope(base=10000.0, dims=8), 64).tolist()
    [1.0, 0.10000000149011612, 0.009999999776482582, 0.0010000000474974513]

    """
    steps = torch.arange(0, rope.dims, 2, dtype=torch.float32) / rope.dims
    base = rope.base
    if rope.ntk is not None:
        base *= _ntk_factor(rope.ntk, rope.dims, window_tokens)
    frequencies = 1.0 / (base**steps)
    if rope.yarn is not None:
        frequencies = frequencies / _yarn_divisor(rope.yarn, steps)
    if rope.arithmetic != "fp32" and base == rope.base:
        # What is rounded is the stored table of the base itself; one that has grown is not.
        frequencies = frequencies.bfloat16().float()
    return frequencies


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """
    Rotate the first channels of each head, the first half of them with the second.

    Args:
        heads: (B, T, heads, channels).
        cos: (T, dims / 2) or (B, T, dims / 2).
        sin: Likewise.

    Returns:
        The rotated heads, same shape and dtype.

    """
    cos, sin = cos.to(heads.dtype).unsqueeze(-2), sin.to(heads.dtype).unsqueeze(-2)
    half = cos.size(-1)
    first, second = heads[..., :half], heads[..., half : 2 * half]
    rotated = (first * cos + second * sin, second * cos - first * sin, heads[..., 2 * half :])
    return torch.cat(rotated, dim=-1)


def _ntk_factor(ntk: Ntk, dims: int, window_tokens: int) -> float:
    window_tokens = ntk.window_tokens or window_tokens
    if window_tokens <= ntk.reference_tokens:
        return 1.0
    if dims == 2:
        raise UsageError(
            f"an NTK base needs rope.dims of 4 or more beyond {ntk.reference_tokens} tokens, got 2"
        )
    growth: float = (window_tokens / ntk.reference_tokens) ** (dims / (dims - 2))
    return growth


def _yarn_divisor(yarn: Yarn, steps: Tensor) -> Tensor:
    ramp = ((steps - 0.25) / 0.75).clamp(0, 1)
    return 1.0 + ramp * (yarn.reach_tokens / yarn.trained_tokens - 1.0)
