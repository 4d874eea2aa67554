"""The low-rank correction: against the published system's factors, and against the SVD."""

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.grids.factors import GroupFactors, RowFactors
from artpack.quantize.grids.low_rank import LowRank, principal_factors
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.parts import split_bytes
from artpack.quantize.rounding.clips import GivenClip, StdClip
from artpack.stages.symbols import Quantized

GROUPED = LowRank(RowInt(4, StdClip(3.0)), 4, GroupFactors(64))


def normal(rows: int, cols: int) -> Tensor:
    return torch.empty(rows, cols).normal_(0, 0.1, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("shape", [(30, 7), (7, 30), (5, 5)])
def test_factors_are_those_of_the_svd_with_the_largest_on_the_left_negative(
    shape: tuple[int, int],
) -> None:
    error = normal(*shape)

    left, right = principal_factors(error, 3)

    u, s, v = torch.linalg.svd(error.double(), full_matrices=False)
    best = (u[:, :3] * s[:3]) @ v[:3]
    torch.testing.assert_close(left.double() @ right.double(), best, rtol=0, atol=1e-6)
    torch.testing.assert_close(right @ right.T, torch.eye(3), rtol=0, atol=1e-6)
    assert (left.amin(dim=0) + left.amax(dim=0) < 0).all()


def test_the_correction_lowers_the_error() -> None:
    weight = normal(40, 2) @ normal(2, 60) + 0.01 * normal(40, 60)

    plain = GROUPED.inner.dequantize(GROUPED.inner.quantize(weight))
    corrected = GROUPED.dequantize(GROUPED.quantize(weight))

    assert (weight - corrected).norm() < 0.9 * (weight - plain).norm()


def test_the_product_adds_up_in_order_with_one_rounding_a_term() -> None:
    stage = LowRank(RowInt(2, GivenClip()), 2, RowFactors(2))
    parts = {
        "codes": np.ones((2, 2), np.uint8),
        **split_bytes("scales", torch.ones(2).half()),
        "left": np.full((2, 2), 2, np.uint8),
        "right": np.array([[2, 1], [2, 0]], np.uint8),
        **split_bytes("left_scales", torch.tensor([1.0, 0.5]).half()),
        **split_bytes("right_scales", torch.tensor([2048.0, 2.0**-13]).half()),
    }

    back = stage.dequantize(Quantized((2, 2), parts))

    # 2048 + 2**-13 lies halfway between two fp32; 1024 + 2**-14 likewise: ties to even.
    assert back.tolist() == [[2048.0, -(2.0**-13)], [1024.0, -(2.0**-14)]]


def test_a_rank_beyond_the_matrix_is_cut() -> None:
    assert [spec.shape for spec in GROUPED.parts((2, 9)) if spec.name in ("left", "right")] == [
        (2, 2),
        (2, 9),
    ]


@pytest.mark.parametrize("rank", [0, 257])
def test_ranks_out_of_range_are_refused(rank: int) -> None:
    with pytest.raises(UsageError, match="low-rank: rank must be 1 to 256"):
        LowRank(GROUPED.inner, rank, GROUPED.factors)
