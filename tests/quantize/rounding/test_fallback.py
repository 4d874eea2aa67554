"""What PR 826 does where GPTQ has no Hessian, or none that factorises."""

import pytest
import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize import RowInt
from artpack.quantize.parts import join_bytes
from artpack.quantize.rounding.clips import GivenClip
from artpack.quantize.rounding.gptq import Gptq
from artpack.quantize.rounding.row_rounding import RowRounding
from artpack.quantize.rounding.steps import RefinedSteps, RowGrid, RowPercentiles
from artpack.stages.symbols import Quantized

WEIGHT = torch.randn(6, 40, generator=torch.Generator().manual_seed(3))
PERCENTILES = (0.9, 1.0)


def rounding(bits: int, refinements: int) -> RowRounding:
    options = Gptq(precision="fp32", damping=0.02, refinements=refinements)
    return RowRounding(
        RowInt(bits, GivenClip()), RowPercentiles(0.5, percentiles=PERCENTILES), options
    )


def check(quantized: Quantized, grid: RowGrid) -> None:
    codes = torch.from_numpy(quantized.parts["codes"].astype("float32")) - grid.radius
    assert torch.equal(codes, grid.nearest())
    scales = join_bytes("scales", quantized.parts, torch.float16)
    assert torch.equal(scales.flatten(), grid.stored.flatten())


def broken() -> Tensor:
    """Return a Hessian with two dead columns and a negative eigenvalue."""
    hessian = torch.eye(40)
    hessian[0, 1] = hessian[1, 0] = 5.0
    hessian[7, 7] = hessian[9, 9] = 0.0
    return hessian


@pytest.mark.parametrize("bits", [5, 6])
def test_without_a_hessian_rows_are_refined_as_often_as_told(bits: int) -> None:
    quantized, notes = rounding(bits, 4).quantize(WEIGHT, None)
    refined = RefinedSteps(0.5, 4, 0.02, PERCENTILES)
    check(quantized, refined.grid(WEIGHT, radius=2 ** (bits - 1) - 1))
    assert notes == ("rounded without a Hessian: there is none",)


@pytest.mark.parametrize("bits", [5, 6])
def test_a_hessian_that_does_not_factorise_gets_one_refinement_without_dead_columns(
    bits: int,
) -> None:
    quantized, notes = rounding(bits, 4).quantize(WEIGHT, broken())
    live = WEIGHT.clone()
    live[:, [7, 9]] = 0
    refined = RefinedSteps(0.5, 1, 0.02, PERCENTILES)
    check(quantized, refined.grid(live, radius=2 ** (bits - 1) - 1))
    assert len(notes) == 1
    assert notes[0].startswith("rounded without a Hessian: its Hessian is not positive definite")


def test_a_sound_hessian_is_used_all_the_same() -> None:
    hessian = torch.eye(40) + 0.1
    plain, notes = rounding(5, 4).quantize(WEIGHT, hessian)
    other, _ = rounding(5, 0).quantize(WEIGHT, hessian)
    assert (plain.parts["codes"] == other.parts["codes"]).all()
    assert notes == ()


def test_otherwise_a_missing_hessian_is_refused_and_damping_raised() -> None:
    with pytest.raises(UsageError, match="no Hessian for it"):
        rounding(5, 0).quantize(WEIGHT, None)
    _, notes = rounding(5, 0).quantize(WEIGHT, broken())
    assert notes[0].startswith("damping raised from 0.02")
    with pytest.raises(UsageError, match="refinements must be 0 or more, got -1"):
        Gptq(refinements=-1)
