import json
import math

import pytest
import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.models.simulate import (
    GRIDS,
    FakeRowInt,
    FakeRowPentanary,
    Float8,
    Grid,
    GroupQuinary,
    RowClippedInt,
    simulate,
)
from artpack.stages import stage_from_json, stage_to_json

ALL: list[Grid] = [
    Float8(),
    FakeRowInt(4),
    RowClippedInt(5, 0.9),
    FakeRowPentanary(),
    GroupQuinary(4),
    GroupQuinary(4, bf16=True),
]


def weights(rows: int, cols: int) -> Tensor:
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("grid", ALL)
def test_a_grid_survives_json(grid: Grid) -> None:
    assert stage_from_json(GRIDS, json.loads(json.dumps(stage_to_json(grid)))) == grid


@pytest.mark.parametrize("grid", ALL)
def test_gradients_pass_through_unchanged(grid: Grid) -> None:
    weight = weights(3, 8).requires_grad_()
    upstream = weights(3, 8)
    (simulate(grid, weight) * upstream).sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert torch.equal(weight.grad, upstream)


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_row_integers_follow_the_formula(bits: int) -> None:
    weight, half = weights(4, 7), 2 ** (bits - 1)
    expected = [
        [
            max(-half, min(half - 1, round(w / max(map(abs, row)) * half)))
            / half
            * max(map(abs, row))
            for w in row
        ]
        for row in weight.tolist()
    ]
    assert torch.allclose(FakeRowInt(bits).project(weight), torch.tensor(expected), atol=1e-6)


def test_a_row_of_zeros_stays_zero_on_every_row_grid() -> None:
    zeros = torch.zeros(2, 8)
    for grid in ALL:
        assert torch.equal(simulate(grid, zeros), zeros)


def test_clipped_integers_have_a_least_step() -> None:
    weight = torch.tensor([[0.55, -0.55, 0.03, 0.04]])
    step = 1 / 15
    expected = torch.tensor([[8 * step, -8 * step, 0.0, step]])
    assert torch.allclose(RowClippedInt(5, 1.0).project(weight), expected)


def test_clipped_integers_clip_at_the_quantile() -> None:
    weight = torch.tensor([[30.0, -30.0, 15.0, 15.0, 15.0]])
    rounded = RowClippedInt(5, 0.5).project(weight)
    assert rounded.tolist() == [[15.0, -16.0, 15.0, 15.0, 15.0]]


def test_pentanary_rows_follow_the_formula() -> None:
    for row in weights(5, 9).tolist():
        mean = sum(map(abs, row)) / len(row)
        codes = [math.copysign((abs(w) > 0.7 * mean) + (abs(w) > 1.4 * mean), w) for w in row]
        scale = sum(w * c for w, c in zip(row, codes, strict=True)) / sum(c * c for c in codes)
        projected = FakeRowPentanary().project(torch.tensor([row]))
        assert torch.allclose(projected, torch.tensor([[c * scale for c in codes]]), atol=1e-6)


def test_quinary_groups_run_through_the_matrix_in_c_order() -> None:
    weight, correction = weights(2, 6), torch.tensor([1.0, 2.0, 0.5])
    flat, expected = weight.flatten().tolist(), []
    for group, factor in enumerate(correction.tolist()):
        part = flat[4 * group : 4 * group + 4]
        scale = sum(map(abs, part)) / 4 * factor
        expected += [max(-2, min(2, round(w / scale))) * scale for w in part]
    projected = GroupQuinary(4).project(weight, correction)
    assert torch.allclose(projected.flatten(), torch.tensor(expected), atol=1e-6)


def test_quinary_in_bf16_rounds_the_result_to_bf16() -> None:
    projected = GroupQuinary(4, bf16=True).project(weights(2, 6), None)
    assert torch.equal(projected.bfloat16().float(), projected)
    assert not torch.equal(projected, GroupQuinary(4).project(weights(2, 6), None))


def test_float8_keeps_the_published_values() -> None:
    weight = torch.tensor([[0.0009, 0.002, 448.0, -1.06]])
    assert Float8().project(weight).tolist() == [[0.0, 0.001953125, 448.0, -1.0]]


def test_only_quinary_carries_corrections() -> None:
    assert GroupQuinary(4).correction_size((6, 8)) == 12
    assert all(grid.correction_size((6, 8)) is None for grid in ALL[:4])
    with pytest.raises(UsageError, match="not whole groups of 5"):
        GroupQuinary(5).correction_size((6, 8))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match=r"bits must be in 2\.\.8"):
        FakeRowInt(1)
    with pytest.raises(UsageError, match="quantile"):
        RowClippedInt(5, 0.0)
    with pytest.raises(UsageError, match="group_size"):
        GroupQuinary(0)
