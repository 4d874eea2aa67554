"""The inverse Hessian of GPTQ: damped, in an order of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artpack.errors import UsageError
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

RAISES = 6
"""How often damping is raised tenfold before a Hessian is given up."""


class NotPositiveDefiniteError(UsageError):
    """A Hessian that cannot be factorised."""


@dataclass(frozen=True, eq=False)
class Inverse:
    """
    The inverse of a damped Hessian.

    Attributes:
        matrix: Row ``j`` says how an error in column ``j`` is made up for by the
            columns after it, shape ``(cols, cols)``, in the order of ``order``.
        order: Which column comes first, second, ...; int64, shape ``(cols,)``.
        damping: The damping that it took, as a share of the mean of the diagonal.
    """

    matrix: Tensor
    order: Tensor
    damping: float


def invert(
    hessian: Tensor, *, order: str, damping: float, form: str, raises: int = RAISES
) -> Inverse:
    """
    Damp a Hessian, order its columns and invert it.

    Where the Cholesky decomposition fails, damping is raised tenfold until it does not.

    Args:
        hessian: Symmetric, shape ``(cols, cols)``, no zeros on the diagonal for ``cholesky``.
        order: Columns by their diagonal element, ``descending`` or ``ascending``, or
            ``none`` as they are.
        damping: Share of the mean of the diagonal that is added to it.
        form: ``cholesky``, the upper factor of the inverse, or ``inverse``, all of it.
        raises: How often damping may be raised.

    Returns:
        The inverse, of the Hessian's dtype.

    Raises:
        NotPositiveDefiniteError: It is not positive definite even with the largest damping.
        UsageError: The Hessian is not finite.

    """
    if not hessian.isfinite().all():
        raise UsageError("its Hessian is not finite: collect the calibration again")
    mean = hessian.diagonal().mean()
    for raised in range(raises + 1):
        share = damping * 10**raised
        damped = hessian.clone()
        damped.diagonal().add_(share * mean)
        columns = _order(damped.diagonal(), order)
        matrix = _inverted(damped[columns][:, columns], form)
        if matrix is not None:
            return Inverse(matrix, columns, share)
    raise NotPositiveDefiniteError(
        f"its Hessian is not positive definite even with a damping of {share:g}:"
        " collect the calibration again"
    )


def _order(diagonal: Tensor, order: str) -> Tensor:
    if order == "none":
        return torch.arange(len(diagonal), device=diagonal.device)
    return torch.argsort(diagonal, descending=order == "descending")


def _inverted(matrix: Tensor, form: str) -> Tensor | None:
    """Return the inverse in the form asked for, or None if the matrix is not positive definite."""
    lower, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        return None
    inverse = torch.cholesky_inverse(lower)
    if form == "inverse":
        return inverse
    upper, failed = torch.linalg.cholesky_ex(inverse, upper=True)
    return None if failed else upper
