"""Columns in several goes: those that are left stand where they cost least."""

import numpy as np
import pytest
import torch

from artpack.quantize.grids.lattice import Lattice
from artpack.quantize.rounding.column_sweep import ColumnSweep
from artpack.quantize.rounding.watersic import WaterSic, solve
from tests.quantize.rounding.test_watersic import cost, moments, normal

HESSIAN, GRADIENTS = moments(40, 1).double(), moments(24, 3).double()
WEIGHT = normal(24, 40) * 10
METHOD = WaterSic(1e-9, 1e-9)
METRIC = METHOD.metric((24, 40), HESSIAN, GRADIENTS)
LATTICE = Lattice(8, 127)


def sweep() -> ColumnSweep:
    return ColumnSweep(WEIGHT, METRIC, 0.0, LATTICE)


def test_one_go_is_the_whole() -> None:
    whole = sweep()
    whole.quantize(0)
    expected = solve(WEIGHT, METRIC, 0.0, LATTICE)
    for name, part in whole.quantized.parts.items():
        assert np.array_equal(part, expected.parts[name])
    stored = LATTICE.dequantize(whole.quantized)
    torch.testing.assert_close(torch.from_numpy(whole.weight), stored, rtol=1e-6, atol=0)


def test_what_is_left_costs_least_where_it_stands() -> None:
    half = sweep()
    half.quantize(17)
    error = torch.from_numpy(half.weight).double() - WEIGHT.double()
    gradient = GRADIENTS @ error @ HESSIAN
    assert gradient[:, 17:].abs().max() > 1
    assert gradient[:, :17].abs().max() < 1e-4
    assert cost(error, HESSIAN, GRADIENTS) > 0


def test_goes_without_learning_are_as_good_as_one() -> None:
    costs = []
    for shares in ((0,), (33, 20, 3, 0)):
        one = sweep()
        for free in shares:
            one.quantize(free)
        error = LATTICE.dequantize(one.quantized).double() - WEIGHT.double()
        costs.append(cost(error, HESSIAN, GRADIENTS))
    assert costs[1] == pytest.approx(costs[0], rel=0.02)


def test_directions_cost_alike_and_nothing_together() -> None:
    half = sweep()
    half.quantize(16)
    rows, steps, cols = half.directions()
    assert rows is not None
    assert cols is not None
    drawn = normal(24, 16, seed=9).numpy()
    change = torch.from_numpy(rows @ (drawn * steps) @ cols).double()
    inner = HESSIAN[:16, :16]
    found = cost(change, inner, GRADIENTS)
    # Steps are rounded to an eighth of an octave, so costs are alike within some percent.
    each = 2.0 ** (-2 * METRIC.log2_step) / 2
    assert found == pytest.approx(each * float(np.square(drawn).sum()), rel=0.1)


def test_columns_that_are_changed_are_quantized_as_they_are_then() -> None:
    changed = sweep()
    changed.quantize(8)
    fixed = changed.weight[:, 8:]
    changed.change(np.zeros((24, 8), np.float32))
    changed.quantize(0)
    assert not changed.weight[:, :8].any()
    assert np.array_equal(changed.weight[:, 8:], fixed)


def test_without_a_metric_columns_are_rounded_alone() -> None:
    metric = METHOD.metric((24, 40), None, None)
    parted = ColumnSweep(WEIGHT, metric, 0.0, LATTICE)
    for free in (30, 1, 0):
        parted.quantize(free)
    expected = solve(WEIGHT, metric, 0.0, LATTICE)
    assert np.array_equal(parted.quantized.parts["codes"], expected.parts["codes"])
    assert parted.directions()[0] is None


def test_the_weight_that_was_given_stays() -> None:
    before = WEIGHT.clone()
    one = sweep()
    one.quantize(0)
    assert torch.equal(WEIGHT, before)
