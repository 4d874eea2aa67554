"""Ternary and quinary groups: against a slow reference, and at the edges."""

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.errors import CorruptError, UsageError
from artpack.quantize.grids.group_levels import GroupLevels
from artpack.quantize.parts import join_bytes, split_bytes
from artpack.quantize.scales import Fp32Scales, LogDeltaScales
from artpack.stages.symbols import Quantized, Symbols


def laplace(rows: int, cols: int) -> Tensor:
    random = np.random.default_rng(rows * cols)
    return torch.from_numpy(random.laplace(0, 0.02, (rows, cols))).float()


def reference(weight: Tensor, radius: int, group: int) -> tuple[list[list[int]], list[list[float]]]:
    """Codes and scales, one group at a time in float64."""
    codes, scales = [], []
    for row in weight.double().tolist():
        row_codes: list[int] = []
        row_scales: list[float] = []
        for start in range(0, len(row), group):
            values = row[start : start + group]
            scale = float(np.float16(sum(map(abs, values)) / group))
            row_codes += [max(-radius, min(radius, round(w / scale))) for w in values]
            row_scales.append(scale)
        codes.append(row_codes)
        scales.append(row_scales)
    return codes, scales


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize(("cols", "group"), [(72, 36), (70, 32), (5, 8), (9, 1)])
def test_codes_and_scales_are_those_of_a_slow_reference(radius: int, cols: int, group: int) -> None:
    weight = laplace(11, cols)
    stage = GroupLevels(radius, group)
    codes, scales = reference(weight, radius, group)

    quantized = stage.quantize(weight)

    assert (quantized.parts["codes"].astype(int) - radius).tolist() == codes
    stored = join_bytes("scales", quantized.parts, torch.float16).reshape(11, -1)
    assert stored.tolist() == scales
    expected = np.zeros((11, cols))
    for r, (row, row_scales) in enumerate(zip(codes, scales, strict=True)):
        for g, scale in enumerate(row_scales):
            part = np.array(row[g * group : (g + 1) * group])
            mean = np.float32(abs(part).sum()) / np.float32(group)
            expected[r, g * group : g * group + len(part)] = part * (np.float32(scale) / mean)
    assert stage.dequantize(quantized).tolist() == expected.astype(np.float32).tolist()


def test_the_absolute_mean_of_a_group_comes_back_as_its_scale() -> None:
    weight = laplace(8, 96)
    stage = GroupLevels(2, 32)

    quantized = stage.quantize(weight)

    scales = join_bytes("scales", quantized.parts, torch.float16).reshape(8, 3).double()
    means = stage.dequantize(quantized).double().abs().reshape(8, 3, 32).mean(dim=2)
    # 32 values each a rounded product of a rounded quotient: 2 * 2**-24 of it.
    assert (abs(means / scales - 1) <= 2.0**-23).all()


@pytest.mark.parametrize("scales", [GroupLevels(2, 48).scales, LogDeltaScales(5)], ids=repr)
def test_quantizing_again_finds_the_same_codes(scales: LogDeltaScales) -> None:
    """Holds while the mean magnitude of a group's codes is above 2/3 and at most 4/3."""
    stage = GroupLevels(2, 48, scales)
    random = np.random.default_rng(3)
    weight = torch.from_numpy(random.normal(0, 0.02, (20, 96))).float()
    once = stage.quantize(weight)
    means = abs(once.parts["codes"].reshape(20, 2, 48).astype(float) - 2).mean(axis=2)
    assert ((means > 2 / 3) & (means <= 4 / 3)).all()

    again = stage.quantize(stage.dequantize(once))

    np.testing.assert_array_equal(again.parts["codes"], once.parts["codes"])


@pytest.mark.parametrize("scales", [GroupLevels(2, 16).scales, LogDeltaScales(5)], ids=repr)
def test_a_group_of_zeros_leaves_all_other_groups_alone(scales: LogDeltaScales) -> None:
    stage = GroupLevels(2, 16, scales)
    weight = laplace(6, 64)
    without = stage.dequantize(stage.quantize(weight))
    # Any group but those with the smallest and the largest scale, which set the range.
    means = weight.abs().reshape(-1, 16).mean(dim=1)
    middle = int(means.argsort()[len(means) // 2])
    weight.view(-1, 16)[middle] = 0

    back = stage.dequantize(stage.quantize(weight))

    expected = without.clone()
    expected.view(-1, 16)[middle] = 0
    assert torch.equal(back, expected)


def test_padding_counts_in_the_mean_but_is_not_stored() -> None:
    stage = GroupLevels(1, 4)

    quantized = stage.quantize(torch.tensor([[1.0, -1.0, 1.0, 1.0, 2.0]]))

    assert quantized.parts["codes"].tolist() == [[2, 0, 2, 2, 2]]
    assert join_bytes("scales", quantized.parts, torch.float16).tolist() == [1.0, 0.5]
    assert stage.dequantize(quantized).tolist() == [[1.0, -1.0, 1.0, 1.0, 2.0]]


def test_a_group_far_wider_than_the_tensor_costs_no_memory_and_changes_nothing() -> None:
    """A stranger's file may ask for it: 100,000 rows filled up would be 26 GB."""
    stage = GroupLevels(1, 65536)
    parts = {
        "codes": np.full((100_000, 1), 2, np.uint8),
        **split_bytes("scales", torch.full((100_000,), 2.0**-16).half()),
    }

    assert (stage.dequantize(Quantized((100_000, 1), parts)) == 1).all()


def test_wide_groups_are_quantized_in_small_chunks() -> None:
    stage = GroupLevels(1, 65536)

    quantized = stage.quantize(torch.full((300, 1), -0.5))

    assert not quantized.parts["codes"].any()
    assert (stage.dequantize(quantized) == -0.5).all()


@pytest.mark.parametrize(("radius", "group"), [(0, 8), (3, 8), (1, 0), (1, -1), (1, 65537)])
def test_impossible_settings_are_refused(radius: int, group: int) -> None:
    with pytest.raises(UsageError, match="must be 1"):
        GroupLevels(radius, group)


def test_labels_and_alphabets() -> None:
    assert GroupLevels(1, 8).label == "ternary"
    assert GroupLevels(2, 8).label == "quinary"
    assert [GroupLevels(r, 8).parts((2, 20))[0].alphabet for r in (1, 2)] == [3, 5]
    assert GroupLevels(2, 8, LogDeltaScales(5)).parts((2, 20))[1].shape == (2, 3)


def test_as_published_groups_of_nothing_have_no_scale_and_stretch_the_range() -> None:
    weight = torch.tensor([[0.0, 0.0, 0.02, -0.1], [3e-9, -1e-9, 0.01, 0.0], [1.0, 0.5, 0.3, 0.2]])
    stage = GroupLevels(2, 2, LogDeltaScales(5))
    parts = stage.quantize(weight, zero_scales=True).parts
    assert (parts["codes"].astype(int) - 2).tolist() == [[0, 0, 0, -2], [2, -2, 2, 0], [1, 1, 1, 1]]
    anchor, step = join_bytes("anchor_step", parts, torch.float16).tolist()
    low, high = -39.863137, float(np.log2(0.75))
    assert anchor == pytest.approx((low + high) / 2, rel=1e-3)
    assert step == pytest.approx((high - low) / 31, rel=1e-3)
    assert parts["scales"][:2, 0].tolist() == [0, 0]
    guarded = stage.quantize(weight).parts
    anchor, step = join_bytes("anchor_step", guarded, torch.float16).tolist()
    assert step < 0.3
    plain = GroupLevels(2, 2).quantize(weight, zero_scales=True)
    assert join_bytes("scales", plain.parts, torch.float16).view(3, 2)[:2, 0].tolist() == [0, 0]
    assert GroupLevels(2, 2).dequantize(plain)[:2, :2].eq(0).all()


def test_a_scale_beyond_what_fp32_can_divide_is_refused() -> None:
    grid = GroupLevels(1, 4, Fp32Scales())
    quantized = grid.quantize(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    largest = np.array([[0xFF], [0xFF], [0x7F], [0x7F]], np.uint8)
    planes = {f"scales.{i}": np.repeat(byte[None], 2, axis=0) for i, byte in enumerate(largest)}

    def with_codes(codes: Symbols) -> Quantized:
        return Quantized(quantized.shape, {**planes, "codes": codes})

    assert grid.weights(with_codes(np.ones((2, 4), np.uint8))).tolist() == [[0.0] * 4] * 2
    with pytest.raises(CorruptError, match="too large for the codes"):
        grid.weights(with_codes(quantized.parts["codes"]))
