"""Lattices: points on trellises, and scales that are sums of exponents."""

import itertools
import time

import numpy as np
import pytest
import torch

from artpack.errors import CorruptError, UsageError
from artpack.quantize.grids.lattice import Lattice, to_codes, to_points
from artpack.quantize.parts import split_bytes
from artpack.quantize.trellis.viterbi import search
from artpack.stages.symbols import Quantized
from artpack.stages.trellis import POLYNOMIALS, spacing, trellis

GENERATOR = np.random.default_rng(0)


def int32(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array(values, np.int32)


@pytest.mark.parametrize("states", [1, *POLYNOMIALS])
def test_codes_and_points_are_two_views_of_the_same_path(states: int) -> None:
    codes = GENERATOR.integers(-9, 10, (50, 7)).astype(np.int32)

    points = to_points(codes, states)

    assert np.array_equal(to_codes(points, states), codes)
    assert (np.abs(points - spacing(states) * codes) <= 1).all()


def test_a_weight_is_its_point_times_two_to_the_sum_of_the_exponents() -> None:
    lattice = Lattice(4, 7, resolution=2)
    points = to_points(np.array([[1, -2, 0], [3, 7, -7]], np.int32), 4)
    rows, cols = int32(-3, 4), int32(10, -20, 0)

    quantized = lattice.pack((2, 3), points, rows, cols)

    expected = points * np.exp2((rows[:, None] + cols) / 2)
    back = lattice.dequantize(quantized).numpy()
    np.testing.assert_allclose(back, expected, rtol=2**-23)
    assert quantized.parts["row_scales"].ravel().tolist() == [0, 7]


def test_the_search_finds_the_best_of_all_paths() -> None:
    targets = GENERATOR.normal(0, 2, 6).astype(np.float32)
    paths = np.array(list(itertools.product(range(-2, 3), repeat=6)), np.int32).T

    found = search(targets, 4, 2)

    errors = np.square(to_points(paths, 4) - targets[:, None]).sum(0)
    assert np.square(found - targets).sum() == pytest.approx(errors.min())


@pytest.mark.parametrize(("states", "decibels"), [(4, 0.9), (8, 1.0), (64, 1.15), (256, 1.25)])
def test_a_trellis_gains_over_the_plain_grid_of_the_same_rate(states: int, decibels: float) -> None:
    targets = GENERATOR.uniform(-40, 40, 20_000).astype(np.float32)

    error = np.square(search(targets, states, 127) - targets).mean()

    # Twice the step, and so a third of a squared step instead of a twelfth.
    assert 10 * np.log10(1 / 3 / error) > decibels


@pytest.mark.parametrize("states", [1, 4, 64])
def test_no_code_goes_beyond_the_radius(states: int) -> None:
    targets = GENERATOR.normal(0, 100, 200).astype(np.float32)

    codes = to_codes(search(targets, states, 3)[:, None], states)

    assert np.abs(codes).max() == 3


def test_points_off_the_trellis_are_refused() -> None:
    with pytest.raises(UsageError, match="not on its trellis"):
        to_codes(np.array([[1]], np.int32), 8)


def test_codes_beyond_the_radius_and_scales_too_far_apart_are_refused() -> None:
    lattice, points = Lattice(1, 3), np.zeros((2, 1), np.int32)

    with pytest.raises(UsageError, match="a code is 4, beyond 3"):
        lattice.pack((2, 1), points + 4, int32(0, 0), int32(0))
    with pytest.raises(UsageError, match="span 256 steps"):
        lattice.pack((2, 1), points, int32(-100, 156), int32(0))


@pytest.mark.parametrize("radius", [1, 127, 128, 129, 255, 383, 384, 385, 8191])
@pytest.mark.parametrize("states", [1, 8])
def test_every_code_comes_back_whatever_the_radius(radius: int, states: int) -> None:
    lattice = Lattice(states, radius)
    codes = np.arange(-radius, radius + 1, dtype=np.int32)[:, None]
    points = to_points(codes, states)
    shape = points.shape

    quantized = lattice.pack(shape, points, np.zeros(len(codes), np.int32), int32(0))

    assert np.array_equal(lattice.unpack(quantized)[0], points)
    assert np.array_equal(lattice.dequantize(quantized).numpy(), points)
    for spec in lattice.parts(shape):
        assert quantized.parts[spec.name].max(initial=0) < spec.alphabet


def test_small_codes_have_no_high_digit_and_parities_of_their_own() -> None:
    codes = np.arange(-128, 128, dtype=np.int32)[:, None]
    parts = Lattice(1, 128).pack((256, 1), codes, np.zeros(256, np.int32), int32(0)).parts

    assert (parts["high"] == 1).all()
    assert np.array_equal(parts["codes"].astype(np.int32) - 128, codes)


@pytest.mark.parametrize(("high", "low"), [(2, 1), (2, 255), (0, 0), (0, 127)])
def test_a_code_beyond_the_radius_is_corrupt(high: int, low: int) -> None:
    lattice = Lattice(8, 128)
    parts = dict(lattice.quantize(torch.ones(1, 1)).parts)
    parts |= {"high": np.array([[high]], np.uint8), "codes": np.array([[low]], np.uint8)}

    with pytest.raises(CorruptError, match=r"a code is .* beyond 128"):
        lattice.dequantize(Quantized((1, 1), parts))


@pytest.mark.parametrize(("anchor", "row"), [(-801, 0), (801, 0), (700, 101), (-32768, 255)])
def test_scales_out_of_range_are_corrupt(anchor: int, row: int) -> None:
    lattice = Lattice(8, 31)
    parts = dict(lattice.quantize(torch.ones(1, 1)).parts)
    parts["row_scales"] = np.array([[row]], np.uint8)
    parts |= split_bytes("anchor", torch.tensor([anchor], dtype=torch.int16))

    with pytest.raises(CorruptError, match="out of range"):
        lattice.dequantize(Quantized((1, 1), parts))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [((3, 7), "no trellis of 3"), ((8, 0), "radius"), ((8, 8192), "radius"), ((1, 7, 65), "resol")],
)
def test_impossible_fields_are_refused(fields: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Lattice(*fields)


@pytest.mark.parametrize("shape", [(500, 1), (1, 500), (7, 5), (0, 3), (3, 0)])
@pytest.mark.parametrize("states", [4, 256])
def test_points_follow_the_table_row_by_row(states: int, shape: tuple[int, int]) -> None:
    codes = np.random.default_rng(1).integers(-99, 100, shape).astype(np.int32)
    table, points = trellis(states), np.empty_like(codes)
    for col in range(shape[1]):
        state = 0
        for row in range(shape[0]):
            parity, *following = table[state]
            points[row, col] = 2 * codes[row, col] + parity
            state = following[codes[row, col] & 1]
    assert np.array_equal(to_points(codes, states), points)
    assert np.array_equal(to_codes(points, states), codes)


def test_a_tall_matrix_takes_no_longer_than_a_wide_one() -> None:
    codes = np.zeros((1, 1), np.int32)
    to_codes(to_points(codes, 8), 8)  # compiles
    codes, start = np.zeros((2_500_000, 1), np.int32), time.process_time()
    assert np.array_equal(to_codes(to_points(codes, 8), 8), codes)
    assert time.process_time() - start < 2
