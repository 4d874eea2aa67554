"""The low-rank correction: against the published system's factors, and against the SVD."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.grids.factors import GroupFactors, RowFactors
from artpack.quantize.grids.low_rank import LowRank, principal_factors
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.parts import join_bytes, split_bytes
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


@pytest.mark.parametrize("name", ["asym64", "sym4", "sym3"])
def test_factors_of_1934_are_packed_as_published(shared: Path, name: str) -> None:
    units = np.load(shared / "golden" / "pr1934" / "extra_attn_gptq" / "units.npz")
    stage = GroupFactors(64) if name == "asym64" else RowFactors(int(name[-1]))
    lowest = (-2, -8) if name == "asym64" else (-stage.radius,) * 2  # type: ignore[union-attr]

    parts = stage.quantize(torch.from_numpy(units["A"]), torch.from_numpy(units["B"]))

    for side, letter, low in zip(("left", "right"), "AB", lowest, strict=True):
        codes = parts[side].astype(int) + low
        np.testing.assert_array_equal(codes, units[f"{name}_q{letter}"])
        scales = join_bytes(f"{side}_scales", parts, torch.float16)
        np.testing.assert_array_equal(scales, units[f"{name}_s{letter}"].reshape(-1))


@pytest.mark.parametrize("folder", ["A", "extra_attn_gptq"])
def test_files_of_1934_dequantize_to_the_bit(shared: Path, folder: str) -> None:
    case = shared / "golden" / "pr1934" / folder
    quant, published = np.load(case / "quant.npz"), np.load(case / "quant_lqer_dequant.npz")
    assert published.files
    for name in published.files:
        grouped = f"{name}.lqA_a" in quant
        suffix = "_a" if grouped else ""
        bits = 7 if name == "tok_emb.weight" else 6
        sides = {"left": "A", "right": "B"}
        offsets = {"left": 2, "right": 8} if grouped else dict.fromkeys(sides, 7)
        parts = {
            "codes": (quant[f"{name}.q"] + (2 ** (bits - 1) - 1)).astype(np.uint8),
            **split_bytes("scales", torch.from_numpy(quant[f"{name}.scale"])),
        }
        for side, letter in sides.items():
            codes = quant[f"{name}.lq{letter}{suffix}"] + offsets[side]
            scales = torch.from_numpy(quant[f"{name}.lq{letter}s{suffix}"])
            parts |= {side: codes.astype(np.uint8), **split_bytes(f"{side}_scales", scales)}
        stage = LowRank(
            RowInt(bits, GivenClip()), 4, GroupFactors(64) if grouped else RowFactors(4)
        )

        back = stage.dequantize(Quantized(published[name].shape, parts))

        np.testing.assert_array_equal(back, published[name])
