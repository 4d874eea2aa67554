"""Steps of rows as published systems find them."""

import math

import numpy as np
import pytest
import torch

from artpack.errors import UsageError
from artpack.quantize.rounding.steps import (
    STEPS,
    FlooredPercentile,
    RefinedSteps,
    RowPercentiles,
    Steps,
    TensorPercentile,
)
from artpack.stages import stage_from_json, stage_to_json
from tests.laws import check_config_round_trip

ALL: list[Steps] = [
    FlooredPercentile(99.9),
    RowPercentiles(0.5, rounded=False),
    TensorPercentile(),
    RefinedSteps(),
]


def normal(rows: int, cols: int) -> torch.Tensor:
    return torch.empty(rows, cols).normal_(0, 2.0, generator=torch.Generator().manual_seed(5))


def test_every_rule_of_the_table_is_tried_here() -> None:
    assert {type(steps) for steps in ALL} == set(STEPS.values())


@pytest.mark.parametrize("steps", ALL, ids=repr)
def test_config_survives_json_and_names_what_is_wrong(steps: Steps) -> None:
    check_config_round_trip(STEPS, steps)
    for floor in (0.0, -1.0, math.inf):
        with pytest.raises(UsageError, match="floor must be positive"):
            stage_from_json(STEPS, {**stage_to_json(steps), "floor": floor})


@pytest.mark.parametrize("steps", ALL, ids=repr)
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (3, 200), (0, 0)])
def test_steps_are_positive_and_no_finer_than_the_floor(
    steps: Steps, shape: tuple[int, int]
) -> None:
    floor = getattr(steps, "floor")  # noqa: B009 - no field of the protocol
    for rows in (normal(*shape), torch.zeros(shape), normal(*shape) / 1000):
        grid = steps.grid(rows, radius=15)
        assert grid.steps.shape == grid.stored.shape == (len(rows), 1)
        assert grid.stored.dtype == torch.float16
        assert (grid.steps >= floor / 15 * (1 - 2**-11)).all()
        assert (grid.nearest().abs() <= 15).all()


def test_rows_choose_the_percentile_with_the_least_error() -> None:
    rows = normal(20, 3000)
    grid = RowPercentiles(1e-3, rounded=False).grid(rows, radius=7)
    candidates = []
    for share in (0.999, 0.9995, 0.9999, 0.99999, 1.0):
        step = np.quantile(rows.abs().double().numpy(), share, axis=1, keepdims=True) / 7
        codes = np.clip(np.round(rows.numpy() / step), -7, 7)
        candidates.append(((rows.numpy() - codes * step) ** 2).mean(axis=1))
    codes = grid.nearest().double()
    found = (rows.double() - codes * grid.steps.double()).square().mean(dim=1)
    np.testing.assert_allclose(found, np.min(candidates, axis=0), rtol=1e-5)


def test_all_rows_share_a_percentile() -> None:
    rows = normal(20, 3000)
    grid = TensorPercentile(1e-3, rounded=False).grid(rows, radius=7)
    shares = [0.999, 0.9995, 0.9999, 0.99999, 1.0]
    found = [
        torch.allclose(grid.steps * 7, rows.abs().quantile(share, dim=1, keepdim=True), rtol=1e-6)
        for share in shares
    ]
    assert sum(found) == 1


def test_weights_beyond_the_percentile_are_clipped_even_under_the_floor() -> None:
    rows = torch.tensor([[0.1, -0.2, 0.3, -0.8]])
    grid = FlooredPercentile(50.0).grid(rows, radius=127)
    assert grid.rows.tolist()[0] == pytest.approx([0.1, -0.2, 0.25, -0.25])
    assert grid.steps.item() == pytest.approx(1 / 127, rel=2**-11)


def test_refined_steps_fit_their_codes_better() -> None:
    rows = normal(8, 500)
    plain, refined = (s.grid(rows, radius=3) for s in (RowPercentiles(1e-3), RefinedSteps(1e-3)))

    def error(codes: torch.Tensor, steps: torch.Tensor) -> float:
        return (rows - codes * steps.float()).square().mean().item()

    assert error(refined.nearest(), refined.stored) < error(plain.nearest(), plain.stored)


def test_percentiles_are_those_asked_for() -> None:
    rows = torch.cat([torch.linspace(-0.5, 0.5, 99), torch.tensor([9.0])])[None]
    for steps in (
        RowPercentiles(1e-3, percentiles=(0.98,)),
        TensorPercentile(1e-3, percentiles=(0.98,)),
    ):
        wanted = torch.quantile(rows.abs(), 0.98) / 15
        assert steps.grid(rows, radius=15).stored.item() == pytest.approx(wanted.item(), rel=1e-3)
    with pytest.raises(UsageError, match="percentiles must be shares above 0, at most 1"):
        RowPercentiles(percentiles=(0.5, 1.1))
    with pytest.raises(UsageError, match="percentiles must be shares"):
        RefinedSteps(percentiles=())


@pytest.mark.parametrize(("refinements", "damping"), [(1, 0.01), (2, 0.005), (5, 0.3)])
def test_refined_steps_follow_their_formula(refinements: int, damping: float) -> None:
    rows = 3 * torch.randn(4, 50, generator=torch.Generator().manual_seed(1))
    grid = RefinedSteps(0.01, refinements, damping, (0.9, 1.0)).grid(rows, radius=7)
    fitted = RowPercentiles(0.01, percentiles=(0.9, 1.0)).grid(rows, radius=7).steps
    for _ in range(refinements):
        steps = fitted
        codes = (rows / steps).round().clamp(-7, 7)
        fitted = ((rows * codes).sum(1).abs() / ((codes**2).sum(1) + 50 * damping))[:, None]
    assert torch.allclose(grid.steps, steps)
    assert torch.equal(grid.nearest(), codes)
    assert torch.allclose(grid.stored.float(), fitted, rtol=1e-3)
