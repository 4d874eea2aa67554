"""The rate that theory allows, against closed forms and sums over every component."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artpack.quantize.bound import bound_bits, rate
from artpack.quantize.rounding.watersic import Metric, WaterSic


def metric_of(
    shape: tuple[int, int], hessian: torch.Tensor | None, rows: torch.Tensor | None
) -> Metric:
    return WaterSic(damping=1e-12, output_damping=1e-12).metric(shape, hessian, rows)


def moments(size: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(size, 3 * size, generator=torch.Generator().manual_seed(seed))
    return (drawn @ drawn.T / (3 * size)).double()


def filled(variances: NDArray[np.float64], distortion: float) -> float:
    """Fill with water by looking at every level that a component can drown at."""
    ordered = np.sort(variances.ravel())
    for drowned in range(ordered.size):
        level = (distortion - ordered[:drowned].sum()) / (ordered.size - drowned)
        if level <= ordered[drowned]:
            return float(np.log2(ordered[drowned:] / level).sum() / 2 / ordered.size)
    return 0.0


@pytest.mark.parametrize("share", [1e-6, 0.01, 0.3, 0.9, 1.0, 2.0])
def test_any_distortion(share: float) -> None:
    drawn = np.random.default_rng(3)
    rows, cols = drawn.gamma(0.3, size=7), np.append(drawn.gamma(0.5, size=11), 0.0)
    variances = np.outer(rows, cols)
    found = rate(rows, cols, share * variances.sum())
    assert found == pytest.approx(filled(variances, share * variances.sum()), abs=1e-6)


def test_white_weights_need_half_the_logarithm_of_signal_over_noise() -> None:
    drawn = torch.randn(64, 96, generator=torch.Generator().manual_seed(1))
    back = drawn + 0.1
    expected = 0.5 * math.log2(1 / 0.1**2)
    plain = metric_of((64, 96), None, None)
    assert bound_bits(drawn, back, plain) == pytest.approx(expected, abs=0.05)


def test_both_sides_of_the_metric_count_and_its_unit_does_not() -> None:
    rows, cols = 5, 8
    weight = torch.randn(rows, cols, generator=torch.Generator().manual_seed(2))
    back = weight + 0.2 * torch.randn(rows, cols, generator=torch.Generator().manual_seed(4))
    output, hessian = moments(rows, 5), moments(cols, 6)
    error = (back - weight).double()
    distortion = float(torch.trace(output @ error @ hessian @ error.T))
    squares = weight.double().square()
    by_row, by_col = squares.mean(1).sqrt(), (squares.mean(0) / squares.mean()).sqrt()
    seen = np.outer(
        np.linalg.eigvalsh(by_row[:, None] * output * by_row),
        np.linalg.eigvalsh(by_col[:, None] * hessian * by_col),
    )
    for unit in (1.0, 1e6):
        metric = metric_of((rows, cols), unit * hessian, output)
        assert bound_bits(weight, back, metric) == pytest.approx(filled(seen, distortion), abs=1e-6)


def test_nothing_is_said_where_there_is_nothing() -> None:
    plain = metric_of((2, 3), None, None)
    assert bound_bits(torch.zeros(2, 3), torch.ones(2, 3), plain) is None
    assert bound_bits(torch.ones(2, 3), torch.ones(2, 3), plain) is None
    empty = metric_of((0, 0), None, None)
    assert bound_bits(torch.zeros(0, 4), torch.zeros(0, 4), empty) is None
