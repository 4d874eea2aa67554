"""Gates on attention heads, before the last projection."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def exclude_self(y: Tensor, v: Tensor) -> Tensor:
    """
    Remove from each head's output its part along the token's own value.

    Args:
        y: (B, T, heads, channels).
        v: (B, T, kv_heads, channels); consecutive heads share one.

    Returns:
        The rest, shape and dtype of ``y``.

    Source: exclusive self-attention (XSA) as in PR 1934, without copying values to heads.

    """
    grouped = y.view(*v.shape[:3], -1, v.size(3))
    direction = F.normalize(v, dim=-1, eps=1e-12).unsqueeze(3)
    along = (grouped * direction).sum(dim=-1, keepdim=True)
    return (grouped - along * direction).flatten(2, 3).to(y.dtype)


def head_gate(n: Tensor, weight: Tensor, scale: float) -> Tensor:
    """
    Return a gate for each head, read from the first channels of the attention input.

    Args:
        n: (B, T, dim).
        weight: (heads, window).
        scale: Factor on the sigmoid's argument.

    Returns:
        (B, T, heads, 1), in (0, 1).

    """
    read = F.linear(n[..., : weight.size(1)], weight.to(n.dtype))
    return torch.sigmoid(scale * read).unsqueeze(-1)
