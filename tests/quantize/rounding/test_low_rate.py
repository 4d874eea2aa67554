"""What is stored where bits are few: shares of components, and moments for their noise."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artpack.quantize.rounding.low_rate import adapt, best_shares
from artpack.quantize.rounding.watersic import WaterSic

Doubles = NDArray[np.float64]

ROWS, COLS = 24, 40


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def moments(size: int, seed: int) -> Doubles:
    drawn = normal(size, 2 * size, seed=seed).double().numpy()
    found: Doubles = drawn @ drawn.T / size
    return found


@pytest.mark.parametrize("bias_weight", [1.0, 5.0, 40.0])
def test_no_other_share_and_noise_cost_less(bias_weight: float) -> None:
    octaves, shares, finer = best_shares(bias_weight)

    def cost(share: Doubles, noise: Doubles, level: float) -> Doubles:
        lost = noise + bias_weight * (1 - share) ** 2
        total: Doubles = lost + level * np.log1p(share**2 / noise)
        return total

    for at in range(0, len(octaves), 40):
        level = 2.0 ** octaves[at]
        found = cost(shares[at], 2.0 ** (octaves[at] - finer[at]), level)
        others = cost(*np.meshgrid(np.linspace(0.05, 1, 96), np.geomspace(1e-6, 1e4, 400)), level)
        assert found <= others.min() * 1.001


def test_fine_steps_store_all() -> None:
    matrix, rows, cols = normal(ROWS, COLS, seed=1), moments(ROWS, 2), moments(COLS, 3)
    for given in (rows, np.diag(rows).copy()):
        found = adapt(matrix, given, cols, 1e-9, 5.0)
        assert torch.allclose(found.target, matrix, atol=1e-4)
        # The two sides may share a factor.
        both, wanted = (np.multiply.outer(*pair) for pair in (found[1:], (given, cols)))
        assert np.abs(both - wanted).max() < 1e-3 * wanted.max()


def test_a_share_is_that_of_the_component_on_both_sides() -> None:
    matrix = normal(ROWS, COLS, seed=4)
    level, bias_weight = 0.02, 5.0
    rows, cols = np.geomspace(2, 0.05, ROWS), np.geomspace(3, 0.01, COLS)
    squares = matrix.double().numpy() ** 2
    variances = squares.mean(1)[:, None] * squares.mean(0) / squares.mean()
    octaves, shares, _ = best_shares(bias_weight)
    wanted = np.interp(np.log2(level / (np.outer(rows, cols) * variances)), octaves, shares)
    found = adapt(matrix, rows, cols, level, bias_weight).target
    assert np.allclose(found, wanted * matrix.numpy(), atol=1e-4)


def test_columns_that_hardly_count_are_stored_in_part() -> None:
    weight, hessian = normal(64, COLS, seed=7), torch.eye(COLS)
    hessian[20:, 20:] *= 0.05
    target, metric = WaterSic(1e-9).adapted(weight, hessian, None, -1.0)
    kept = (target.square().sum(0) / weight.square().sum(0)).sqrt()
    assert kept[:20].min() > 0.98
    assert kept[20:].max() < 0.97
    # And finer than their costs alone would have them.
    plain = WaterSic(1e-9).metric((64, COLS), hessian, None)
    wider = metric.col_log2_steps - plain.col_log2_steps
    assert wider[20:].max() < wider[:20].min()


@pytest.mark.parametrize("matrix", [torch.zeros(3, 5), torch.eye(3, 5), torch.ones(1, 1)])
def test_zeros_and_lonely_weights(matrix: torch.Tensor) -> None:
    rows, cols = len(matrix), matrix.shape[1]
    for side in (np.eye, np.ones):
        found = adapt(matrix, side(rows), side(cols), 0.1, 5.0)
        assert found.target.isfinite().all()
        assert np.isfinite(found.rows).all()
        assert np.isfinite(found.cols).all()
