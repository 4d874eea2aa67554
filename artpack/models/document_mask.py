"""Packed documents: which tokens of a batch may see which."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from artpack.errors import UsageError


@dataclass(frozen=True)
class Documents:
    """
    Where documents start in a batch of packed rows, ready for attention.

    Attention runs on documents of similar length at a time, gathered into
    right-padded rows: exact, because a causal query never sees the padding, and
    at most twice the work. :meth:`from_starts` makes one.

    Attributes:
        starts: bool (B, T), True at the first token of each document.
        positions: int64 (B, T), tokens since the document's start.
        gathers: For each group of documents int64 (documents, tokens), indices
            into the flattened batch.
        scatter: int64 (B * T), where each token went in the flattened groups.
    """

    starts: Tensor
    positions: Tensor
    gathers: tuple[Tensor, ...]
    scatter: Tensor

    @classmethod
    def from_starts(cls, starts: Tensor) -> Self:
        """
        Find the documents of a batch.

        Args:
            starts: bool (B, T), True where a document starts; the first token of a
                row always starts one.

        Returns:
            The documents, on the same device.

        Raises:
            UsageError: ``starts`` is not a non-empty matrix of bool.

        """
        if starts.dtype is not torch.bool or starts.ndim != 2 or starts.numel() == 0:
            raise UsageError(
                f"starts must be bool (B, T), got {starts.dtype} {tuple(starts.shape)}"
            )
        starts = starts.clone()
        starts[:, 0] = True
        begins = starts.flatten().nonzero().squeeze(1)
        lengths = begins.diff(append=begins.new_full((1,), starts.numel()))
        document = starts.flatten().cumsum(0) - 1
        positions = torch.arange(starts.numel(), device=starts.device) - begins[document]
        gathers, rows = _group(begins, lengths, starts.numel())
        return cls(
            starts=starts,
            positions=positions.view(starts.shape),
            gathers=gathers,
            scatter=rows[document] + positions,
        )


def _group(begins: Tensor, lengths: Tensor, total: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return indices by group, and where each document's row starts in the flattened groups."""
    # A group holds the lengths that need the same number of bits.
    bits = lengths.double().log2().floor()
    gathers, rows, offset = [], torch.empty_like(begins), 0
    for size in torch.unique(bits).tolist():
        members = (bits == size).nonzero().squeeze(1)
        longest = int(lengths[members].max())
        steps = torch.arange(longest, device=begins.device)
        gathers.append((begins[members, None] + steps).clamp(max=total - 1))
        rows[members] = offset + longest * torch.arange(len(members), device=begins.device)
        offset += longest * len(members)
    return tuple(gathers), rows
