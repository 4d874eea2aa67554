"""Symmetric integers: against a slow reference, and at the edges."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.parts import join_bytes
from artpack.quantize.rounding.clips import Clip, MseClip, PercentileClip, StdClip
from artpack.quantize.scales import LogDeltaScales
from artpack.stages.symbols import Quantized

CLIPS: list[Clip] = [
    StdClip(12.0),
    StdClip(2.5),
    PercentileClip(97.5),
    PercentileClip(100.0),
    MseClip(),
]


def heavy_tails(rows: int, cols: int) -> Tensor:
    random = np.random.default_rng(rows * cols)
    return torch.from_numpy(0.03 * random.standard_t(4, (rows, cols))).float()


def reference_threshold(clip: Clip, row: list[float], radius: int) -> float:
    """What the clips say, one number at a time."""
    ordered = sorted(abs(w) for w in row)
    if isinstance(clip, StdClip):
        mean = math.fsum(row) / len(row)
        return clip.k * math.sqrt(math.fsum((w - mean) ** 2 for w in row) / (len(row) - 1))
    if isinstance(clip, PercentileClip):
        place = clip.percentile / 100 * (len(row) - 1)
        low = math.floor(place)
        high = min(low + 1, len(row) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    def error(threshold: float) -> float:
        step = threshold / radius
        return math.fsum((w - step * reference_code(w, step, radius)) ** 2 for w in row)

    return min((share / 100 * ordered[-1] for share in range(100, 0, -2)), key=error)


def reference_code(weight: float, step: float, radius: int) -> int:
    return max(-radius, min(radius, round(weight / step)))


def steps_of(quantized: Quantized) -> NDArray[np.float16]:
    return join_bytes("scales", quantized.parts, torch.float16).numpy()


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("clip", CLIPS, ids=repr)
def test_steps_and_codes_are_those_of_a_slow_float64_reference(clip: Clip, bits: int) -> None:
    weight = heavy_tails(7, 61)
    stage = RowInt(bits, clip)

    quantized = stage.quantize(weight)

    for row, symbols, step in zip(
        weight.double().tolist(), quantized.parts["codes"], steps_of(quantized), strict=True
    ):
        assert step == np.float16(reference_threshold(clip, row, stage.radius) / stage.radius)
        codes = [reference_code(w, float(step), stage.radius) for w in row]
        assert [int(s) - stage.radius for s in symbols] == codes
    expected = [
        [(int(s) - stage.radius) * float(step) for s in symbols]
        for symbols, step in zip(quantized.parts["codes"], steps_of(quantized), strict=True)
    ]
    assert stage.dequantize(quantized).tolist() == expected


def test_codes_are_rounded_with_the_steps_as_they_are_stored() -> None:
    weight = heavy_tails(40, 90)
    stage = RowInt(5, StdClip(4.0), LogDeltaScales(4))

    quantized = stage.quantize(weight)

    steps = torch.from_numpy(stage.scales.values(quantized.parts, shape=(40, 1)))
    assert not torch.equal(steps, stage.steps(weight).float())
    codes = (weight / steps).round().clamp(-15, 15)
    assert torch.equal(torch.from_numpy(quantized.parts["codes"]).float() - 15, codes)
    assert torch.equal(stage.dequantize(quantized), codes * steps)


@pytest.mark.parametrize("bits", range(2, 9))
def test_unclipped_weights_are_quantized_once_and_for_all(bits: int) -> None:
    """The largest code is the radius again, and the step an fp16 already."""
    stage = RowInt(bits, PercentileClip(100.0))
    once = stage.quantize(heavy_tails(30, 50))

    again = stage.quantize(stage.dequantize(once))

    for name, symbols in once.parts.items():
        np.testing.assert_array_equal(again.parts[name], symbols)


def test_error_is_at_most_half_a_step_where_nothing_is_clipped() -> None:
    weight = heavy_tails(30, 50)
    stage = RowInt(6, PercentileClip(100.0))

    error = (stage.dequantize(stage.quantize(weight)) - weight).abs()

    # The quotient is rounded to fp32 once before it is rounded to a whole number.
    assert (error <= stage.steps(weight).float() * (0.5 + 31 * 2.0**-24)).all()


def test_equal_weights_have_no_deviation_and_take_their_magnitude() -> None:
    stage = RowInt(6, StdClip(12.0))
    weight = torch.tensor([[0.5] * 5, [-0.25, 0.25, -0.25, 0.25, 0.25]])

    quantized = stage.quantize(weight)

    assert quantized.parts["codes"][0].tolist() == [62] * 5
    assert steps_of(quantized)[0] == np.float16(0.5 / 31)


def test_one_column_has_no_deviation_and_raises_no_warning() -> None:
    stage = RowInt(4, StdClip(3.0))
    weight = torch.tensor([[0.5], [-0.25], [0.0]])

    assert stage.quantize(weight).parts["codes"].tolist() == [[14], [0], [7]]


def test_mostly_zero_rows_clip_at_their_maximum_when_the_percentile_is_zero() -> None:
    weight = torch.zeros(1, 100)
    weight[0, 3] = -0.75

    back = RowInt(3, PercentileClip(90.0)).dequantize(
        RowInt(3, PercentileClip(90.0)).quantize(weight)
    )

    assert torch.equal(back, weight)


def test_weights_below_the_smallest_step_become_zero() -> None:
    weight = torch.tensor([[1e-9, -1e-9, 0.0], [0.5, 0.25, -0.5]])
    stage = RowInt(4, PercentileClip(100.0))

    back = stage.dequantize(stage.quantize(weight))

    assert not back[0].any()
    assert torch.equal(stage.steps(weight)[0], stage.steps(weight)[1])


def test_a_step_too_large_for_fp16_is_an_error_that_names_the_row() -> None:
    weight = torch.tensor([[1.0, 2.0], [3e7, -1.0]])

    with pytest.raises(UsageError, match=r"^row 1 needs a scale of 967742, the largest in fp16"):
        RowInt(6, PercentileClip(100.0)).quantize(weight)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: RowInt(1, MseClip()), "bits must be 2 to 8, got 1"),
        (lambda: RowInt(9, MseClip()), "bits must be 2 to 8, got 9"),
        (lambda: StdClip(0.0), "k must be positive"),
        (lambda: StdClip(math.inf), "k must be positive"),
        (lambda: StdClip(math.nan), "k must be positive"),
        (lambda: PercentileClip(0.0), "up to 100, got 0.0"),
        (lambda: PercentileClip(100.5), "up to 100, got 100.5"),
        (lambda: PercentileClip(math.nan), "up to 100, got nan"),
    ],
)
def test_impossible_settings_are_refused(wrong: object, message: str) -> None:
    assert callable(wrong)
    with pytest.raises(UsageError, match=message):
        wrong()


def test_labels_and_alphabets() -> None:
    stages = [RowInt(bits, MseClip()) for bits in (2, 6, 8)]

    assert [stage.label for stage in stages] == ["int2", "int6", "int8"]
    assert [stage.parts((1, 1))[0].alphabet for stage in stages] == [3, 63, 255]
