"""
What is stored of a weight, and how finely, where the noise is as large as the weight.

Seen along the eigenvectors of both sides of the metric, weights are components, each with a
variance, here 1, and a cost ``b`` of its squared error. A share ``a`` of a component is stored
with noise of variance ``n``. That costs ``b (n + F (1 - a)²)`` of loss and
``½ log(1 + a²/n)`` nats of code; a level theta of noise says what a nat is worth. F is the
weight of the bias: what is left out is not noise but a part of what the model does, and costs
more than the metric, a product of means, says. The least sum has ``a`` and ``n`` as functions
of theta / b alone. Where that is small, ``a = 1`` and ``n = theta / b``: nothing is gained over
equal costs for all weights. Where it is large, less of a component is stored, but finer than its
cost alone would have it, since the bits of coarse steps hardly fall any more.

Source: the forward test channel of reverse water-filling, Cover and Thomas, "Elements of
Information Theory", 10.3; with a price on its bias it is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from artpack.quantize.matrix_view import row_chunks
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

Doubles = NDArray[np.float64]

LEAST_SHARE = 0.05
"""The smallest share that is stored: less has no bits to save."""

RATIO_OCTAVES = (-14, 10)
"""Theta over b, in the table of shares."""

SMALL = 1e-3
"""Rows and columns smaller than so much of the mean are taken as that."""


@dataclass(frozen=True, eq=False)
class Side:
    """
    The rows of a matrix, or its columns, with what their errors cost.

    Attributes:
        costs: float64 ``(n,)``: of each component.
        vectors: float32 ``(n, n)``: components in columns; None if each row is one.
        sizes: float32 ``(n,)``: root mean squares of the rows.
    """

    costs: Doubles
    vectors: Tensor | None
    sizes: Tensor

    @classmethod
    def of(cls, moments: Doubles, sizes: Tensor) -> Side:
        """
        Find the components of a side.

        Args:
            moments: Positive definite ``(n, n)``, or the diagonal alone ``(n,)``.
            sizes: float32 ``(n,)``, not negative.

        Returns:
            The side.

        """
        sizes = sizes.clamp(min=SMALL * float(sizes.square().mean().sqrt()) or 1.0)
        if moments.ndim == 1:
            return cls(moments * np.square(sizes.double().numpy()), None, sizes)
        seen = torch.from_numpy(moments).float() * sizes[:, None] * sizes
        costs, vectors = torch.linalg.eigh(seen)
        least = torch.finfo(torch.float32).eps * float(costs[-1])
        return cls(costs.double().clamp(min=least).numpy(), vectors, sizes)

    def with_costs(self, factors: Doubles) -> Doubles:
        """
        Return the moments with other costs of components.

        Args:
            factors: float64 ``(n,)``, positive: what costs are multiplied with.

        Returns:
            float64 ``(n, n)``, or the diagonal ``(n,)`` alone.

        """
        sizes, costs = self.sizes.double().numpy(), factors * self.costs
        moments: Doubles
        if self.vectors is None:
            moments = costs / np.square(sizes)
        else:
            spread = self.vectors.double().numpy() * np.sqrt(costs) / sizes[:, None]
            moments = spread @ spread.T
        return moments


class Adapted(NamedTuple):
    """
    What is to be quantized in the place of a matrix.

    Attributes:
        target: float32 ``(rows, cols)``.
        rows: float64 ``(rows, rows)`` or ``(rows,)``: moments that give its noise the right size.
        cols: Likewise, of the columns.
    """

    target: Tensor
    rows: Doubles
    cols: Doubles


def adapt(
    matrix: Tensor, rows: Doubles, cols: Doubles, level: float, bias_weight: float
) -> Adapted:
    """
    Choose what of a matrix is stored, and how finely.

    Args:
        matrix: float32 ``(rows, cols)``, finite, not empty.
        rows: Positive definite ``(rows, rows)``, or a diagonal: an error E costs
            ``tr(rows E cols E')``.
        cols: Likewise, of the columns.
        level: Of noise: what the error of a weight may cost, above 0.
        bias_weight: Loss of what is left out of a component, over that of noise of the same
            size, above 0.

    Returns:
        A target, and moments in the place of those given.

    """
    squares = matrix.square()
    overall = float(squares.mean())
    if not overall:
        return Adapted(matrix, rows, cols)
    down = Side.of(rows, (squares.mean(1) / overall).sqrt())
    across = Side.of(cols, squares.mean(0).sqrt())
    seen = matrix / down.sizes[:, None] / across.sizes
    seen = seen if across.vectors is None else seen @ across.vectors
    seen = seen if down.vectors is None else down.vectors.T @ seen
    kept, finer_rows, finer_cols = _shares(
        seen, np.log2(level) - np.log2(down.costs), np.log2(across.costs), bias_weight
    )
    kept = kept if down.vectors is None else down.vectors @ kept
    kept = kept if across.vectors is None else kept @ across.vectors.T
    return Adapted(
        kept * across.sizes * down.sizes[:, None],
        down.with_costs(finer_rows),
        across.with_costs(finer_cols),
    )


def _shares(
    seen: Tensor, rows: Doubles, cols: Doubles, bias_weight: float
) -> tuple[Tensor, Doubles, Doubles]:
    """
    Multiply components with their shares.

    Args:
        seen: The components, float32 ``(rows, cols)``.
        rows: Logarithms to base 2 of the level of noise over the rows' costs.
        cols: Of the columns' costs.
        bias_weight: As for :func:`adapt`.

    Returns:
        Them, and by how much the costs of rows and of columns rise so that their products rise
        as those of components do, in the geometric mean over each row and each column.

    """
    ratios, shares, finer = best_shares(bias_weight)
    kept, finer_rows, finer_cols = torch.empty_like(seen), np.empty(len(rows)), np.zeros(len(cols))
    for at in row_chunks((len(rows), len(cols))):
        octaves = rows[at, None] - cols
        kept[at] = seen[at] * torch.from_numpy(np.interp(octaves, ratios, shares)).float()
        rises = np.interp(octaves, ratios, finer)
        finer_rows[at] = rises.mean(1)
        finer_cols += rises.sum(0)
    half = finer_rows.mean() / 2
    return kept, np.exp2(finer_rows - half), np.exp2(finer_cols / len(rows) - half)


@cache
def best_shares(bias_weight: float) -> tuple[Doubles, Doubles, Doubles]:
    """
    Tabulate what is best for a component, by the level of noise over its cost.

    Args:
        bias_weight: As for :func:`adapt`.

    Returns:
        Logarithms to base 2 of that ratio, increasing; the share that is stored, above 0 and at
        most 1; the logarithm to base 2 of how much finer noise is than the ratio.

    >>> ratios, shares, finer = best_shares(10.0)
    >>> at = [int(np.searchsorted(ratios, octaves)) for octaves in (-10, -2, 2)]
    >>> shares[at].round(2), finer[at].round(2)
    (array([1.  , 0.98, 0.84]), array([0.  , 0.28, 1.56]))

    """
    octaves = np.linspace(*RATIO_OCTAVES, 481)
    level = np.exp2(octaves)[:, None]
    share = np.linspace(LEAST_SHARE, 1, 381)
    # Where the derivative by the noise is 0: n² + a² n = theta / b a².
    noise = (np.sqrt(share**4 + 4 * level * share**2) - share**2) / 2
    sums = noise + bias_weight * (1 - share) ** 2 + level * np.log1p(share**2 / noise)
    best = sums.argmin(1)
    chosen = np.take_along_axis(noise, best[:, None], 1).ravel()
    return octaves, share[best], octaves - np.log2(chosen)
