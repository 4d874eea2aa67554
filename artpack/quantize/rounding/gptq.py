"""
GPTQ: rounding with data, where later columns make up for what one column loses.

::

    weight, Hessian, grid ─► codes

Nothing of it is stored but the codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from artpack.errors import UsageError
from artpack.quantize.rounding.inverse import RAISES, Inverse, invert
from artpack.quantize.rounding.steps import RowGrid
from artpack.stages import ConfiguredStage, nearest
from artpack.system.late import torch
from artpack.system.threads import one_thread

if TYPE_CHECKING:
    from torch import Tensor

CHOICES = {
    "order": ("descending", "ascending", "none"),
    "form": ("cholesky", "inverse"),
    "precision": ("fp64", "fp32"),
}
DTYPES = {"fp64": "float64", "fp32": "float32"}
TINY = 1e-8
"""Smallest divisor of an error."""


@dataclass(frozen=True)
class Gptq(ConfiguredStage):
    """
    GPTQ with its options.

    In fp64 no two machines are known to give different codes. The published systems
    compute in fp32, where a sum that adds up in another order moves a code from
    one side of a tie to the other now and then. On a CPU it all runs on one thread, so
    there only the processor and the build of torch have a say.

    Attributes:
        order: Columns are rounded from the largest diagonal element of the Hessian
            down (``descending``), up (``ascending``), or as they come (``none``).
        damping: Share of the mean of the diagonal that is added to it.
        block: Columns that are finished before the rest hears of their errors: a
            matter of speed alone.
        form: ``cholesky`` is the method. ``inverse`` spreads errors by the rows of
            the inverse instead of those of its Cholesky factor, and lets columns
            that were never excited be; only for PR 576, which does it. Where it fails,
            every weight goes to its nearest code, and without a Hessian to that of
            :class:`~artpack.quantize.rounding.steps.TensorPercentile`.
        precision: ``fp64`` or ``fp32``.
        refinements: Round without a Hessian where there is none, by
            :class:`~artpack.quantize.rounding.steps.RefinedSteps` of so many refinements, and
            of one
            where the Hessian cannot be factorised; as PR 826 does. 0 refuses the one and
            raises the damping of the other.

    Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for
    Generative Pre-trained Transformers", 2023.

    """

    stage_id: ClassVar[str] = "gptq"
    order: str = "descending"
    damping: float = 0.01
    block: int = 128
    form: str = "cholesky"
    precision: str = "fp64"
    refinements: int = 0

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise UsageError(f"gptq: unknown {name} {value!r}{nearest(value, choices)}")
        if not self.damping > 0:
            raise UsageError(f"gptq: damping must be positive, got {self.damping}")
        if self.block < 1:
            raise UsageError(f"gptq: block must be positive, got {self.block}")
        if self.refinements < 0:
            raise UsageError(f"gptq: refinements must be 0 or more, got {self.refinements}")


def gptq(grid: RowGrid, hessian: Tensor, options: Gptq) -> tuple[Tensor, float]:
    """
    Round rows so that ``tr((W - Ŵ) H (W - Ŵ)')`` is small.

    Columns that no token excited, of zero diagonal, get zero codes: what they
    hold multiplies nothing.

    Args:
        grid: The rows, and what to round them with.
        hessian: Symmetric, shape ``(cols, cols)``, on the device to compute on.
        options: How.

    Returns:
        Whole numbers from ``-radius`` to ``radius``, shape ``(rows, cols)``; and the
        damping that it took, which is that of the options unless it had to be raised.

    Raises:
        NotPositiveDefiniteError: The Hessian cannot be factorised.
        UsageError: It does not fit, or is not finite.

    >>> grid = RowGrid(torch.tensor([[0.4, 0.4]]), torch.ones(1, 1), torch.ones(1, 1).half(), 3)
    >>> gptq(grid, torch.tensor([[1.0, 0.9], [0.9, 1.0]]), Gptq(order="none"))[0].tolist()
    [[0.0, 1.0]]

    """
    cols = grid.rows.shape[1]
    if hessian.shape != (cols, cols):
        raise UsageError(f"its Hessian is of shape {tuple(hessian.shape)}, it has {cols} columns")
    dtype: torch.dtype = getattr(torch, DTYPES[options.precision])
    curvature = hessian.to(dtype, copy=True)
    weight = grid.rows.to(curvature)
    if options.form == "cholesky":
        dead = curvature.diagonal() == 0
        curvature.diagonal()[dead] = 1
        weight = weight.masked_fill(dead, 0)
    steps = grid.steps.to(curvature).flatten()
    codes = torch.empty_like(weight)
    with one_thread():
        gives_up = options.refinements or options.form == "inverse"
        inverse = invert(
            curvature,
            order=options.order,
            damping=options.damping,
            form=options.form,
            raises=0 if gives_up else RAISES,
        )
        ordered = weight[:, inverse.order]
        codes[:, inverse.order] = _rounded(ordered, steps, grid.radius, inverse, options)
    return codes.float(), inverse.damping


def _rounded(weight: Tensor, steps: Tensor, radius: int, inverse: Inverse, options: Gptq) -> Tensor:
    """Round columns in order, block by block; ``weight`` is used up."""
    codes = torch.empty_like(weight)
    for at in _blocks(weight.shape[1], options.block):
        codes[:, at], errors = _round_block(
            weight[:, at].clone(), steps, radius, inverse.matrix[at, at]
        )
        weight[:, at.stop :] -= errors @ inverse.matrix[at, at.stop :]
    return codes


def _round_block(
    weight: Tensor, steps: Tensor, radius: int, factor: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the codes of a block, and each column's error over its diagonal element."""
    codes, errors = torch.empty_like(weight), torch.empty_like(weight)
    for j in range(weight.shape[1]):
        column = weight[:, j]
        codes[:, j] = (column / steps).round_().clamp_(-radius, radius)
        errors[:, j] = (column - codes[:, j] * steps) / factor[j, j].clamp(min=TINY)
        weight[:, j + 1 :] -= errors[:, j : j + 1] * factor[j, j + 1 :]
    return codes, errors


def _blocks(cols: int, width: int) -> Iterator[slice]:
    return (slice(start, min(start + width, cols)) for start in range(0, cols, width))
