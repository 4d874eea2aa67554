"""GPTQ against a slow reference, and what it does where a Hessian is no good."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.rounding.gptq import Gptq, gptq
from artpack.quantize.rounding.row_rounding import round_with_data
from artpack.quantize.rounding.steps import RowGrid, RowPercentiles, TensorPercentile
from tests.quantize.test_published import fill_1934

Array = NDArray[np.float64]
ORDERS = ("descending", "ascending", "none")


def problem(rows: int, cols: int, tokens: int = 100) -> tuple[RowGrid, Tensor]:
    """Return rows with their steps, and the second moments of correlated inputs."""
    draw = torch.Generator().manual_seed(rows * cols)
    weight = torch.randn(rows, cols, generator=draw)
    steps = torch.rand(rows, 1, generator=draw) * 0.3 + 0.2
    mix = torch.randn(cols, cols, generator=draw) / cols**0.5 + torch.eye(cols)
    inputs = torch.randn(tokens, cols, generator=draw) @ mix * torch.linspace(0.5, 2, cols)
    return RowGrid(weight, steps, steps.half(), 3), inputs.T @ inputs / tokens


def reference(grid: RowGrid, hessian: Tensor, options: Gptq) -> Array:
    """
    Round one column after another and make up for it with the best of all later ones.

    What is best follows from the inverse of what is left of the Hessian, taken anew for
    each column: no Cholesky factor, no blocks.
    """
    weight = grid.rows.double().numpy().copy()
    curvature = hessian.double().numpy().copy()
    dead = np.diag(curvature) == 0
    curvature[dead, dead] = 1
    weight[:, dead] = 0
    curvature += options.damping * np.diag(curvature).mean() * np.eye(len(curvature))
    codes = np.zeros_like(weight)
    left = list(ordered(np.diag(curvature), options.order))
    while left:
        j, later = left[0], left[1:]
        inverse = np.linalg.inv(curvature[np.ix_(left, left)])
        error = nearest(codes, weight, grid, j)
        weight[:, later] -= np.outer(error, inverse[0, 1:] / inverse[0, 0])
        left = later
    return codes


def reference_of_576(grid: RowGrid, hessian: Tensor, options: Gptq) -> Array:
    """Do the same with rows of one inverse, taken once, and leave dead columns alone."""
    weight = grid.rows.double().numpy().copy()
    curvature = hessian.double().numpy().copy()
    curvature += options.damping * np.diag(curvature).mean() * np.eye(len(curvature))
    inverse = np.linalg.inv(curvature)
    codes = np.zeros_like(weight)
    left = list(ordered(np.diag(curvature), options.order))
    while left:
        j = left.pop(0)
        error = nearest(codes, weight, grid, j)
        weight[:, left] -= np.outer(error, inverse[j, left] / inverse[j, j])
    return codes


def ordered(diagonal: Array, order: str) -> NDArray[np.int64]:
    if order == "none":
        return np.arange(len(diagonal))
    return np.argsort(diagonal if order == "ascending" else -diagonal)


def nearest(codes: Array, weight: Array, grid: RowGrid, j: int) -> Array:
    """Round a column in place; return its error."""
    steps = grid.steps.double().numpy()[:, 0]
    codes[:, j] = np.clip(np.round(weight[:, j] / steps), -grid.radius, grid.radius)
    error: Array = weight[:, j] - codes[:, j] * steps
    return error


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("block", [1, 5, 128])
def test_it_is_the_slow_method_whatever_the_block(order: str, block: int) -> None:
    grid, hessian = problem(9, 14)
    options = Gptq(order=order, damping=0.02, block=block)

    codes, damping = gptq(grid, hessian, options)

    np.testing.assert_array_equal(codes, reference(grid, hessian, options))
    assert damping == 0.02


@pytest.mark.parametrize("order", ORDERS)
def test_the_variant_of_576_is_the_slow_method(order: str) -> None:
    grid, hessian = problem(9, 14)
    hessian[3] = hessian[:, 3] = 0
    options = Gptq(order=order, block=4, form="inverse")

    codes, _ = gptq(grid, hessian, options)

    np.testing.assert_array_equal(codes, reference_of_576(grid, hessian, options))
    assert codes[:, 3].any()


def test_dead_columns_get_zeros_and_change_nothing() -> None:
    grid, hessian = problem(6, 10)
    hessian[[2, 7]] = hessian[:, [2, 7]] = 0
    options = Gptq()

    codes, _ = gptq(grid, hessian, options)

    assert not codes[:, [2, 7]].any()
    np.testing.assert_array_equal(codes, reference(grid, hessian, options))


def test_a_diagonal_hessian_means_rounding_to_nearest() -> None:
    grid, hessian = problem(6, 10)

    codes, _ = gptq(grid, hessian.diagonal().diag(), Gptq())

    assert torch.equal(codes, grid.nearest())


def test_the_weighted_error_is_far_below_that_of_rounding_to_nearest() -> None:
    grid, hessian = problem(40, 60)

    def error(codes: Tensor) -> float:
        lost = grid.rows - codes * grid.steps
        return ((lost @ hessian) * lost).sum().item()

    assert error(gptq(grid, hessian, Gptq())[0]) < 0.7 * error(grid.nearest())


def test_rank_deficient_hessians_need_no_more_than_the_damping_asked_for() -> None:
    grid, hessian = problem(5, 30, tokens=4)
    assert gptq(grid, hessian, Gptq())[1] == 0.01


def test_damping_is_raised_until_the_decomposition_succeeds() -> None:
    grid, hessian = problem(5, 8)
    worst = torch.linalg.eigvalsh(hessian).max().item()
    broken = hessian - 0.05 * worst * torch.eye(8)

    codes, damping = gptq(grid, broken, Gptq(damping=0.001))

    assert damping in {0.001 * 10**raised for raised in range(1, 7)}
    again, _ = gptq(grid, broken, Gptq(damping=damping))
    assert torch.equal(codes, again)


@pytest.mark.parametrize(("form", "damping"), [("cholesky", "10000"), ("inverse", "0.01")])
def test_a_hopeless_hessian_is_refused(form: str, damping: str) -> None:
    grid, hessian = problem(5, 8)
    with pytest.raises(UsageError, match=f"definite even with a damping of {damping}:"):
        gptq(grid, -hessian, Gptq(form=form))
    hessian[0, 0] = torch.nan
    with pytest.raises(UsageError, match="its Hessian is not finite"):
        gptq(grid, hessian, Gptq(form=form))
    with pytest.raises(UsageError, match=r"its Hessian is of shape \(7, 7\), it has 8 columns"):
        gptq(grid, hessian[:7, :7], Gptq(form=form))


def test_neither_weight_nor_hessian_is_written_to() -> None:
    grid, hessian = problem(5, 8)
    hessian[1] = hessian[:, 1] = 0
    before = grid.rows.clone(), hessian.clone()
    for precision in ("fp64", "fp32"):
        gptq(grid, hessian, Gptq(precision=precision))
    assert torch.equal(grid.rows, before[0])
    assert torch.equal(hessian, before[1])


@pytest.mark.parametrize("precision", ["fp64", "fp32"])
def test_the_number_of_threads_does_not_matter(precision: str) -> None:
    grid, hessian = problem(512, 1024, tokens=2048)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(gptq(grid, hessian, Gptq(precision=precision))[0])
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": "descend"}, "unknown order 'descend' .did you mean 'descending'"),
        ({"form": "full"}, "unknown form 'full'"),
        ({"precision": "fp16"}, "did you mean 'fp32'|did you mean 'fp64'|known: fp32, fp64"),
        ({"damping": 0.0}, "damping must be positive"),
        ({"block": 0}, "block must be positive"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Gptq(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["fp64", "fp32"])
@pytest.mark.parametrize(
    ("bits", "k", "first", "sums"),
    [
        (6, 12.0, [2, -2, -4, 2, -1, 5, 5, 1, -3, 0, -1, -3, 2, 1, -1, 1], (-169, 3403)),
        (7, 12.0, [5, -5, -6, 7, -2, 9, 9, 2, -7, -1, -1, -9, 4, 3, -3, 1], (-380, 6900)),
        (6, 2.0, [14, -16, -17, 18, -9, 28, 26, 8, -24, -4, -5, -24, 13, 6, -7, 5], (-1031, 20473)),
    ],
)
def test_the_vectors_of_1934(
    precision: str, bits: int, k: float, first: list[int], sums: tuple[int, int]
) -> None:
    """Computed with the original from formula-filled weights; column 200 is dead."""
    weight = fill_1934(0, 6, 256, 0.2)
    noise = fill_1934(1, 512, 256, 1.0)
    inputs = (noise + 0.5 * noise.roll(1, dims=1)) * (1 + torch.arange(256) / 64)
    inputs[:, 200] = 0
    radius = 2 ** (bits - 1) - 1
    stored = (k * weight.std(dim=1, keepdim=True) / radius).half()

    codes, _ = gptq(
        RowGrid(weight, stored.float(), stored, radius),
        inputs.T @ inputs / 4,
        Gptq(precision=precision),
    )

    assert codes[0, :16].tolist() == first
    assert (codes.sum().item(), codes.abs().sum().item()) == sums
    assert not codes[:, 200].any()


def test_golden_matrices_of_576(cases: Path) -> None:
    arrays = np.load(cases / "golden" / "pr576" / "A" / "quant.npz")
    name = "case2_64x144_dead_cols"
    weight, hessian = (torch.from_numpy(arrays[f"{name}__{part}"]) for part in "WH")
    steps = torch.from_numpy(arrays[f"{name}__row_scale_f32_used_internally"]).unsqueeze(1)

    codes, _ = gptq(
        RowGrid(weight, steps, steps.half(), 15),
        hessian,
        Gptq(order="ascending", form="inverse", precision="fp32"),
    )

    np.testing.assert_array_equal(codes, arrays[f"{name}__codes_i8"])


@pytest.mark.cuda
def test_cuda_gives_the_same_codes() -> None:
    grid, hessian = problem(64, 96)
    codes, _ = gptq(grid, hessian, Gptq())
    on_gpu, _ = gptq(grid, hessian.cuda(), Gptq())
    assert torch.equal(on_gpu.cpu(), codes)


def test_where_the_inverse_fails_pr576_rounds_to_the_nearest_code() -> None:
    options = Gptq(order="ascending", form="inverse", precision="fp32")
    rows = torch.randn(6, 40, generator=torch.Generator().manual_seed(3))
    grid = RowPercentiles(rounded=False).grid(rows, radius=15)
    broken = torch.eye(40)
    broken[0, 1] = broken[1, 0] = 2.0
    found, codes, notes = round_with_data(grid, broken, options)
    assert found is grid
    # A diagonal inverse hands no error on, and its step is the one before fp16.
    expected = (rows.double() / grid.steps.double()).round().clamp(-15, 15)
    assert torch.equal(codes.double(), expected)
    assert len(notes) == 1
    assert notes[0].startswith("rounded without a Hessian: its Hessian is not positive definite")
    # What can be inverted still is.
    inputs = torch.randn(90, 40, generator=torch.Generator().manual_seed(4)).cumsum(dim=1)
    _, spread, quiet = round_with_data(grid, inputs.T @ inputs / 90, options)
    assert not quiet
    assert not torch.equal(spread, codes)


@pytest.mark.parametrize("hessian", [None, torch.eye(39)])
def test_without_a_hessian_pr576_takes_one_percentile_for_the_matrix(
    hessian: Tensor | None,
) -> None:
    options, rows = Gptq(form="inverse"), 20 * torch.randn(6, 40)
    steps = RowPercentiles(percentiles=(0.9, 0.8), rounded=False)
    grid = steps.grid(rows, radius=15)
    found, codes, notes = round_with_data(grid, hessian, options, steps)
    expected = TensorPercentile(percentiles=(0.9, 0.8)).grid(rows, radius=15)
    assert torch.equal(found.stored, expected.stored)
    assert torch.equal(codes, expected.nearest())
    assert notes == ("rounded without a Hessian: there is none",)
