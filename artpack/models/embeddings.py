"""Embeddings of a token: hashed bigrams, value embeddings, and the token before."""

import torch
from torch import Tensor, nn

from artpack.models.document_mask import Documents
from artpack.models.linear import Embedding, Linear


def previous(x: Tensor, documents: Documents | None = None) -> Tensor:
    """
    Shift by one token: each position gets what the one before it holds.

    Args:
        x: (B, T) or (B, T, channels).
        documents: Packed documents; None makes each row one document.

    Returns:
        The same shape; 0 at the first token of a document.

    """
    shifted = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
    if documents is None:
        return shifted
    starts = documents.starts if x.ndim == 2 else documents.starts[..., None]
    return shifted.masked_fill(starts, 0)


def bigram_rows(ids: Tensor, rows: int, documents: Documents | None = None) -> Tensor:
    """
    Hash each token and the one before it to a row of the bigram table.

    Args:
        ids: int64 (B, T).
        rows: Rows of the table.
        documents: Packed documents; None makes each row one document.

    Returns:
        int64 (B, T): ``(36313 * id ^ 27191 * previous) mod (rows - 1)``, and
        ``rows - 1`` at the first token of a document.

    Source: PR 576, which hashes in int32: products of ids above 59,138 wrap around.

    >>> bigram_rows(torch.tensor([[1, 52, 30]]), 1024).tolist()
    [[1023, 339, 389]]
    >>> wrapped = 36313 * 59139 - 2**32
    >>> bigram_rows(torch.tensor([[1, 59139]]), 1024)[0, 1] == (wrapped ^ 27191) % 1023
    tensor(True)

    """
    narrow = ids.int()
    hashed = (((36313 * narrow) ^ (27191 * previous(narrow, documents))) % (rows - 1)).long()
    if documents is not None:
        return hashed.masked_fill(documents.starts, rows - 1)
    return torch.cat([torch.full_like(ids[:, :1], rows - 1), hashed[:, 1:]], dim=1)


class ScaledTable(nn.Module):
    """
    A table, perhaps widened by a projection, scaled by one number.

    Args:
        rows: Rows of the table.
        dim: Width of the table.
        out_dim: Width of the result; None leaves that of the table.
    """

    def __init__(self, rows: int, dim: int, out_dim: int | None) -> None:
        super().__init__()
        self.embed = Embedding(rows, dim)
        self.proj = None if out_dim is None else Linear(dim, out_dim)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, index: Tensor) -> Tensor:
        """Return int64 (B, T) to (B, T, out)."""
        x: Tensor = self.embed(index)
        if self.proj is not None:
            x = self.proj(x)
        return x * self.scale.to(x.dtype)


class ChannelSmear(nn.Module):
    """
    A learned share of each channel comes from the token before.

    Args:
        dim: Channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Return ``(1 - g) x + g before`` with ``g = sigmoid(gate)``, (B, T, dim)."""
        share = self.gate.to(x.dtype).sigmoid()
        return (1 - share) * x + share * before


def token_smear(x: Tensor, before: Tensor, gate: Linear, strength: Tensor) -> Tensor:
    """
    Add the token before, weighed by a gate that the current token opens.

    Args:
        x: (B, T, dim).
        before: (B, T, dim).
        gate: Reads the first channels of ``x``.
        strength: (1,) factor on what is added.

    Returns:
        (B, T, dim).

    Source: PR 1934, its SmearGate.

    """
    opened: Tensor = gate(x[..., : gate.shape[1]]).sigmoid()
    return x + strength.to(x.dtype) * opened * before
