"""The fit of a tensor and a grid: values too large or too small for it, and masks."""

import math
from dataclasses import replace
from enum import Enum

import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.grids.asym_int import RowAsymInt
from artpack.quantize.grids.floats import Fp8, Narrow
from artpack.quantize.grids.group_levels import GroupLevels
from artpack.quantize.grids.lattice import Lattice
from artpack.quantize.grids.pentanary import RowPentanary
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.matrix_view import matrix_shape
from artpack.quantize.scales import FP16_MAX, Fp32Scales
from artpack.stages import Quantizer

MIN_ROWS = 32
"""Fewer are a table of vectors and no matrix, as in the recipes."""

SMALL = 2.0**-6
"""A row whose weights are all below this may have a step that is small for fp16."""

FEWEST_LEVELS = 8
"""Scales of the coarsest grids are held to what this outermost code would ask of them."""

MASKED_SHARE = 1 / 16
"""A tensor of which this much is one and the same lowest value is a mask."""

VANISHED = 0.5
"""Of an 8-bit float without a scale: this error is no rounding any more."""


LEAST_OCTAVES = -48
"""Logarithm of the largest weight of a tensor: far below, and as far above one, no search on
lattices finds steps."""


class GridFit(Enum):
    """How a tensor fits its grid."""

    GOOD = "good"
    LARGE = "large"
    SMALL = "small"


def fit(weight: Tensor, quantizer: Quantizer, *, floor: float = 0.0) -> GridFit:
    """
    Find out whether a grid holds a tensor's values, up to its own rounding.

    Args:
        weight: Floating point, any shape.
        quantizer: The grid.
        floor: The finest step that it may have, if there is such a rule.

    Returns:
        ``LARGE`` if a value is infinite or beyond the grid, ``SMALL`` if rounding what the
        grid stores loses more than its codes do. NaN counts as good: to refuse it is for
        the quantizer.

    """
    if not weight.any() or weight.isnan().any():
        return GridFit.GOOD
    largest = weight.abs().max().double().item()
    if largest > torch.finfo(torch.float32).max:
        return GridFit.LARGE
    if largest < max(torch.finfo(torch.float32).tiny, floor / 2):
        return GridFit.SMALL
    return _fit_grid(weight, quantizer, largest)


def _fit_grid(weight: Tensor, quantizer: Quantizer, largest: float) -> GridFit:
    if isinstance(quantizer, Narrow):
        return _fit_narrow(weight, quantizer)
    if isinstance(quantizer, RowInt | GroupLevels):
        return _fit_scaled(weight, quantizer, largest)
    if isinstance(quantizer, RowAsymInt | RowPentanary):
        return _fit_fixed(weight, quantizer, largest)
    if isinstance(quantizer, Lattice):
        return _fit_lattice(largest)
    return GridFit.GOOD


def _fit_lattice(largest: float) -> GridFit:
    if largest > 2.0**-LEAST_OCTAVES:
        return GridFit.LARGE
    return GridFit.SMALL if largest < 2.0**LEAST_OCTAVES else GridFit.GOOD


def is_mask(weight: Tensor) -> bool:
    """
    Return whether a tensor is a mask: much of it is one lowest value, infinite or nearly so.

    Args:
        weight: Floating point, any shape.

    Returns:
        Whether it is one; never of a tensor with NaN or a positive infinity.

    """
    if not weight.numel() or weight.isnan().any() or weight.isposinf().any():
        return False
    lowest = weight.min()
    masked = int((weight == lowest).sum())
    return lowest.item() < -1e4 + 1 and masked >= MASKED_SHARE * weight.numel()


def is_matrix(shape: tuple[int, ...]) -> bool:
    """Return whether a tensor of this shape is a matrix rather than a few vectors."""
    return len(shape) > 1 and shape[0] >= MIN_ROWS


def widened(quantizer: Quantizer) -> Quantizer | None:
    """Return the same grid with scales in fp32; None if it has no place for them."""
    if isinstance(quantizer, RowInt | GroupLevels):
        return replace(quantizer, scales=Fp32Scales())
    return None


def _fit_narrow(weight: Tensor, quantizer: Narrow) -> GridFit:
    try:
        back = quantizer.dequantize(quantizer.quantize(weight))
    except UsageError:
        return GridFit.LARGE
    exact = weight.double()
    # Rounding alone is off by at most half a unit in the last place, so is the norm.
    allowed = VANISHED if isinstance(quantizer, Fp8) else torch.finfo(quantizer.torch_dtype).eps / 2
    lost = (exact - back.double()).norm() > allowed * exact.norm() * (1 + 1e-9)
    return GridFit.SMALL if lost else GridFit.GOOD


def _fit_scaled(weight: Tensor, quantizer: RowInt | GroupLevels, largest: float) -> GridFit:
    if isinstance(quantizer.scales, Fp32Scales):
        return GridFit.GOOD
    if isinstance(quantizer, GroupLevels):
        scales, radius = quantizer.means(weight), FEWEST_LEVELS
    else:
        rows = weight.reshape(matrix_shape(weight.shape)).abs().amax(dim=1)
        if largest <= FP16_MAX and not ((rows > 0) & (rows < SMALL)).any():
            return GridFit.GOOD
        scales, radius = quantizer.exact_steps(weight), max(quantizer.radius, FEWEST_LEVELS)
    exact = scales.double()
    stored = exact.float().half().double()
    if stored.isinf().any():
        return GridFit.LARGE
    # The outermost level must not move by more than half a step: codes round as much.
    lost = 2 * radius * (stored - exact).abs() > exact
    return GridFit.SMALL if lost.any() else GridFit.GOOD


def _fit_fixed(weight: Tensor, quantizer: Quantizer, largest: float) -> GridFit:
    """Compare with the error of the same weights made larger by a power of two."""
    if largest > FP16_MAX:
        return GridFit.LARGE
    if largest >= SMALL:
        return GridFit.GOOD
    exact = weight.double()
    larger = torch.ldexp(exact, torch.tensor(-math.frexp(largest)[1]))
    errors = []
    for one in (exact, larger):
        back = quantizer.dequantize(quantizer.quantize(one)).double()
        errors.append(((one - back).norm() / one.norm()).item())
    return GridFit.SMALL if errors[0] > 1.1 * errors[1] + 1e-3 else GridFit.GOOD
