"""WaterSIC: steps from the metric, and feedback that a slow reference repeats."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.grids.lattice import MAX_SPAN, Lattice, to_codes
from artpack.quantize.rounding.watersic import WaterSic, solve, widen
from artpack.quantize.trellis.noise_shaping import into_tiles, search_shaped
from artpack.quantize.trellis.path_tree import UNSETTLED
from artpack.quantize.trellis.viterbi import nearest_point, search
from artpack.stages.trellis import trellis
from artpack.system.vectors import WIDTH

PLAIN = Lattice(1, 127, 16)
Doubles = NDArray[np.float64]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def moments(size: int, seed: int) -> Tensor:
    """Return a second moment whose factors have something to feed back."""
    mixing = torch.eye(size) + 0.5 * normal(size, size, seed=seed + 1) / size**0.5
    mixed = normal(4 * size, size, seed=seed) @ mixing
    second: Tensor = mixed.T @ mixed / (4 * size)
    return second


def cost(error: Tensor, hessian: Tensor, gradients: Tensor) -> float:
    return float(((gradients @ error @ hessian) * error).sum() / 2)


def test_every_weight_costs_a_twenty_fourth_at_the_metrics_own_steps() -> None:
    hessian, gradients = moments(40, 1).double(), moments(60, 3).double()
    weight = normal(60, 40) * 30
    metric = WaterSic(1e-9, 1e-9).metric((60, 40), hessian, gradients)

    quantized = solve(weight, metric, metric.log2_step, PLAIN)

    error = PLAIN.dequantize(quantized).double() - weight.double()
    share = cost(error, hessian, gradients) / weight.numel()
    assert share == pytest.approx(1 / 24, rel=0.05)


def test_points_are_those_of_babais_algorithm() -> None:
    hessian, gradients = moments(5, 1).double(), moments(4, 3).double()
    weight = normal(4, 5).double() * 3
    metric = WaterSic(1e-9, 1e-9).metric((4, 5), hessian, gradients)
    quantized = solve(weight, metric, metric.log2_step, PLAIN)

    lower = torch.linalg.cholesky(hessian)
    upper = torch.linalg.cholesky(gradients.flip(0, 1)).flip(0, 1)
    anchor = int(quantized.parts["anchor.0"][0, 0]) + 256 * int(quantized.parts["anchor.1"][0, 0])
    exponents = anchor - (anchor >> 15 << 16) + quantized.parts["row_scales"].astype(np.int32)
    exponents = exponents + quantized.parts["col_scales"].ravel().astype(np.int32)
    scales = torch.from_numpy(np.exp2(exponents / PLAIN.resolution))
    error = torch.zeros(4, 5, dtype=torch.float64)
    for col in reversed(range(5)):
        for row in range(4):
            residual = (upper.T @ error @ lower)[row, col] / (upper[row, row] * lower[col, col])
            aim = weight[row, col] - residual
            error[row, col] = (aim / scales[row, col]).round() * scales[row, col]
            error[row, col] -= weight[row, col]
    found = PLAIN.dequantize(quantized).double() - weight
    torch.testing.assert_close(found, error, rtol=0, atol=1e-5)


@pytest.mark.parametrize("states", [1, 8])
def test_each_kind_of_knowledge_lowers_the_cost_at_the_same_mean_step(states: int) -> None:
    hessian, sizes = moments(48, 5), torch.linspace(0.5, 2.0, 80)
    gradients = moments(80, 7) * sizes * sizes[:, None]
    weight, lattice = normal(80, 48) * 5, Lattice(states, 127)
    method = WaterSic(1e-6, 1e-6, row_exponent=1.0)
    costs = []
    for known in (
        (None, None),
        (hessian, None),
        (hessian, gradients.diagonal()),
        (hessian, gradients),
    ):
        quantized = solve(weight, method.metric((80, 48), *known), -2.0, lattice)
        costs.append(cost(lattice.dequantize(quantized) - weight, hessian, gradients))
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("states", [4, 64])
def test_shaped_search_without_shaping_is_the_plain_one(states: int) -> None:
    targets = np.random.default_rng(0).normal(0, 5, 203).astype(np.float32)
    tiles = into_tiles(np.zeros((203, 203), np.float32))

    shaped = search_shaped(targets, tiles, states, 31)

    assert shaped.tolist() == search(targets, states, 31).tolist()


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 150])
@pytest.mark.parametrize("states", [1, 8])
def test_shaping_lowers_the_shaped_error_and_stays_on_the_trellis(states: int, rows: int) -> None:
    random = np.random.default_rng(0)
    targets = random.normal(0, 9, rows).astype(np.float32)
    spread = np.triu(random.normal(0, 0.2, (rows, rows)), 1).astype(np.float32)

    found = search_shaped(targets, into_tiles(spread), states, 127)

    to_codes(found[:, None], states)  # refuses points off the trellis
    costs = [
        np.square((points - targets) @ (np.eye(len(targets)) + spread)).sum()
        for points in (found, search(targets, states, 127))
    ]
    assert costs[0] <= costs[1] / (2 if rows == 150 else 1)


def survivors_one_by_one(targets: Doubles, spread: Doubles, states: int, radius: int) -> list[int]:
    """Search with a list of points for each state, its shaped errors summed anew at each row."""
    table = trellis(states)
    paths: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}
    for row, target in enumerate(targets):
        old = row - (UNSETTLED - 1) * WIDTH
        if old >= 0 and row % WIDTH == 0:
            best = min(paths.values())[1]
            paths = {s: known for s, known in paths.items() if known[1][:old] == best[:old]}
        followers: dict[int, tuple[float, list[int]]] = {}
        for state, (cost, path) in paths.items():
            aim = target - (np.array(path, np.float64) - targets[:row]) @ spread[:row, row]
            for odd in range(2):
                point = nearest_point(aim, int(table[state, 0]) + 2 * odd, radius)
                reached = cost + (aim - point) ** 2, [*path, point]
                after = int(table[state, 1 + odd])
                followers[after] = min(followers.get(after, reached), reached)
        paths = followers
    return min(paths.values())[1]


@pytest.mark.parametrize(("radius", "rows"), [(127, WIDTH * (UNSETTLED + 4)), (3, 99)])
def test_shaped_search_is_that_of_survivors_one_by_one(radius: int, rows: int) -> None:
    random = np.random.default_rng(0)
    targets = random.normal(0, 9, rows)
    spread = np.triu(random.normal(0, 0.05, (rows, rows)), 1)
    slow = survivors_one_by_one(targets, spread, 8, radius)

    tiles = into_tiles(spread.astype(np.float32))
    found = search_shaped(targets.astype(np.float32), tiles, 8, radius)

    assert found.tolist() == slow


def test_rows_that_the_radius_would_not_reach_get_larger_steps() -> None:
    weight = normal(6, 8)
    weight[2] *= 1000
    lattice = Lattice(4, 127)

    quantized = solve(weight, WaterSic().metric((6, 8), None, None), -4.0, lattice)

    error = (lattice.dequantize(quantized) - weight).abs().amax(1)
    assert error[2] < 1000 * 4 / 127
    assert error[[0, 1, 3, 4, 5]].max() < 2 * 2**-4
    assert quantized.parts["row_scales"][2] > quantized.parts["row_scales"][0]


@pytest.mark.parametrize("factor", [100.0, 2.0**60])
def test_a_column_that_the_radius_would_not_reach_has_larger_steps_itself(factor: float) -> None:
    weight, lattice = normal(200, 8), Lattice(4, 127)
    weight[:, 2] *= factor

    quantized = solve(weight, WaterSic().metric((200, 8), None, None), -4.0, lattice)

    error = (lattice.dequantize(quantized) - weight).abs().amax(0)
    scales = {name: part.astype(np.int32) for name, part in quantized.parts.items()}
    assert error[2] < factor * 4 / 127
    assert scales["col_scales"][2] == np.ptp(scales["col_scales"]) > 0
    if factor == 100:
        assert error[[0, 1, 3, 4, 5, 6, 7]].max() < 2 * 2**-4
        assert np.ptp(scales["row_scales"]) < 8
    else:  # too far apart for columns alone: rows give way
        assert np.ptp(scales["col_scales"]) == MAX_SPAN


@pytest.mark.parametrize("log2_step", [110.0, -110.0])
def test_scales_stay_where_they_can_be_read(log2_step: float) -> None:
    weight, metric = normal(6, 8) * 2.0**-100, WaterSic().metric((6, 8), None, None)
    PLAIN.dequantize(solve(weight, metric, log2_step, PLAIN))


def test_a_weight_too_large_for_any_scale_is_refused() -> None:
    metric = WaterSic().metric((6, 8), None, None)
    with pytest.raises(UsageError, match="too large for a lattice: store it as raw"):
        solve(normal(6, 8) * 2.0**120, metric, -4.0, PLAIN)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, metric = normal(30, 90), WaterSic().metric((30, 90), moments(90, 2), moments(30, 4))
    whole = solve(weight, metric, -3.0, PLAIN)

    monkeypatch.setattr("artpack.quantize.rounding.column_sweep.BLOCK", 7)

    blocks = solve(weight, metric, -3.0, PLAIN)
    assert np.array_equal(whole.parts["codes"], blocks.parts["codes"])


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 7), (5, 1)])
def test_odd_shapes_and_moments_of_nothing(shape: tuple[int, int]) -> None:
    rows, cols = shape
    metric = WaterSic().metric(shape, torch.zeros(cols, cols), torch.zeros(rows, rows))
    back = PLAIN.dequantize(solve(normal(*shape), metric, -3.0, PLAIN))
    assert (back - normal(*shape)).abs().amax().item() < 2**-3 if rows else back.numel() == 0


@pytest.mark.parametrize(
    "fields", [{"damping": 0.0}, {"output_damping": -1.0}, {"row_exponent": 1.5}]
)
def test_impossible_options_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"watersic: {next(iter(fields))}"):
        WaterSic(**fields)


def test_moments_that_no_tokens_leave_are_refused() -> None:
    # Every pair of columns is possible, all three together are not.
    hessian = 2 * torch.eye(3) - 1
    hessian.diagonal().fill_(1)
    with pytest.raises(UsageError, match="not positive definite"):
        WaterSic().metric((2, 3), hessian, None)
    with pytest.raises(UsageError, match="not positive definite"):
        WaterSic(output_damping=0.01).metric((3, 2), None, hessian)


def test_errors_go_on_falling_with_the_steps_however_many_they_are() -> None:
    draw = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(64, 96, generator=draw), torch.randn(900, 96, generator=draw)
    inputs[:, :4] *= 30  # inputs that need the finest steps of all
    hessian = inputs.T @ inputs / len(inputs)
    metric, given = WaterSic().metric((64, 96), hessian, None), Lattice(64, 127)
    losses, radii = [], []
    for log2_step in (-1.0, -3.0, -5.0, -7.0, -8.0):
        lattice = widen(weight, metric, log2_step, given)
        error = lattice.dequantize(solve(weight, metric, log2_step, lattice)) - weight
        losses.append(float((error @ hessian * error).mean()) / 4**log2_step)
        radii.append(lattice.radius)
    assert radii[0] == 127
    assert radii[-1] > 1000
    assert max(losses) < 1.1 * min(losses)


def test_few_weights_out_of_reach_need_no_second_symbol() -> None:
    weight = torch.randn(64, 96, generator=torch.Generator().manual_seed(0))
    weight[3, 5] = 40.0
    metric, given = WaterSic().metric((64, 96), None, None), Lattice(64, 127)
    assert widen(weight, metric, -2.0, given) == given
    assert widen(weight[:0], metric, -2.0, given) == given
