"""Matrices and tables, whose weights may be banked or put on a grid in the forward pass."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.models.simulate import Grid, simulate


class Weighted(nn.Module):
    """
    A module with one weight matrix, used in the dtype of its input.

    Args:
        rows: Rows of the weight.
        cols: Columns of the weight.
        banked: The weight is a slice of a bank and handed to ``forward``.
    """

    weight: nn.Parameter  # None where it is banked, and then never read
    scale_correction: nn.Parameter | None

    def __init__(self, rows: int, cols: int, *, banked: bool = False) -> None:
        super().__init__()
        self.shape = (rows, cols)
        self.grid: Grid | None = None
        self.register_parameter("weight", None if banked else nn.Parameter(torch.zeros(rows, cols)))
        self.register_parameter("scale_correction", None)

    def put_on(self, grid: Grid | None) -> None:
        """Use the weight on a grid from now on, or as it is."""
        self.grid = grid
        size = None if grid is None else grid.correction_size(self.shape)
        self.scale_correction = None if size is None else nn.Parameter(torch.ones(size))

    def effective_weight(self, bank: Tensor | None = None) -> Tensor:
        """Return the weight as the forward pass uses it."""
        weight = self.weight if bank is None else bank
        return weight if self.grid is None else simulate(self.grid, weight, self.scale_correction)


class Linear(Weighted):
    """
    Multiplication with a matrix (out, in), no bias.

    Args:
        in_dim: Channels in.
        out_dim: Channels out.
        banked: The weight is a slice of a bank and handed to ``forward``.
    """

    def __init__(self, in_dim: int, out_dim: int, *, banked: bool = False) -> None:
        super().__init__(out_dim, in_dim, banked=banked)

    def forward(self, x: Tensor, bank: Tensor | None = None) -> Tensor:
        """Return ``x W^T``, (..., in) to (..., out); ``bank`` is W where it is banked."""
        return F.linear(x, self.effective_weight(bank).to(x.dtype))


class TokenGate(Linear):
    """
    A number from 0 to 1 a token, read from its channels; their gradient ends here.

    Args:
        dim: Channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, 1)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, bank: Tensor | None = None) -> Tensor:
        """Return ``sigmoid(w x + b)``, (..., dim) to (..., 1)."""
        return (super().forward(x.detach(), bank) + self.bias.to(x.dtype)).sigmoid()


class Embedding(Weighted):
    """
    A row for each index.

    Args:
        rows: Number of indices.
        dim: Channels.
    """

    def forward(self, index: Tensor) -> Tensor:
        """Return the rows, int64 (...) to (..., dim)."""
        return F.embedding(index, self.effective_weight())


def rms_norm(x: Tensor, epsilon: float) -> Tensor:
    """
    Divide by the root mean square over the last axis, without a learned weight.

    Args:
        x: (..., channels).
        epsilon: Added to the mean square.

    Returns:
        The normed tensor, same shape and dtype.

    """
    normed: Tensor = F.rms_norm(x, (x.size(-1),), eps=epsilon)
    return normed
