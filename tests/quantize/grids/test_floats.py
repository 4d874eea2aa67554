"""Narrow floats: every bit pattern, and overflow."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artpack.errors import CorruptError, UsageError
from artpack.quantize.grids.floats import Bf16, Fp8, Fp16
from artpack.stages import Quantizer
from artpack.stages.symbols import Quantized, Symbols


def patterns(stage: Quantizer) -> NDArray[np.int64]:
    """Every bit pattern of the type."""
    return np.arange(256 if isinstance(stage, Fp8) else 65536)


def planes(stage: Quantizer, data: NDArray[np.int64]) -> dict[str, Symbols]:
    """The parts of a vector of such bit patterns, by arithmetic."""
    return {
        spec.name: (data >> 8 * byte & 0xFF).astype(np.uint8).reshape(spec.shape)
        for byte, spec in enumerate(stage.parts((len(data),)))
    }


EXPONENT_BITS = {"fp8": (3, 4), "fp16": (10, 5), "bf16": (7, 8)}


def is_number(label: str, pattern: int) -> bool:
    """fp8 has NaN only where all bits but the sign are set; the others keep the top exponent."""
    if label == "fp8":
        return pattern & 0x7F != 0x7F
    mantissa, exponent = EXPONENT_BITS[label]
    return pattern >> mantissa & (1 << exponent) - 1 != (1 << exponent) - 1


def value(label: str, pattern: int) -> float:
    """What a bit pattern stands for, from the definition of such a type."""
    mantissa, exponent = EXPONENT_BITS[label]
    sign = -1.0 if pattern >> (mantissa + exponent) else 1.0
    e = pattern >> mantissa & (1 << exponent) - 1
    m = pattern & (1 << mantissa) - 1
    bias = (1 << (exponent - 1)) - 1
    if e == 0:
        return sign * m * 2.0 ** (1 - bias - mantissa)
    return sign * ((1 << mantissa) + m) * 2.0 ** (e - bias - mantissa)


@pytest.mark.parametrize("stage", [Fp8(), Fp16(), Bf16()], ids=repr)
def test_every_bit_pattern_that_is_a_number_survives(stage: Quantizer) -> None:
    data = np.array([p for p in patterns(stage) if is_number(stage.label, p)])
    parts = planes(stage, data)

    weight = stage.dequantize(Quantized(data.shape, parts))

    assert weight.tolist() == [value(stage.label, int(p)) for p in data]
    again = stage.quantize(weight).parts
    assert list(again) == list(parts)
    for name, plane in parts.items():
        np.testing.assert_array_equal(again[name], plane)


@pytest.mark.parametrize("stage", [Fp8(), Fp16(), Bf16()], ids=repr)
def test_every_bit_pattern_that_is_no_number_is_corrupt(stage: Quantizer) -> None:
    wrong = [p for p in patterns(stage) if not is_number(stage.label, p)]

    assert len(wrong) == {"fp8": 2, "fp16": 2048, "bf16": 256}[stage.label]
    for pattern in wrong[:: max(1, len(wrong) // 64)]:
        parts = planes(stage, np.array([pattern]))
        with pytest.raises(CorruptError, match="NaN or infinite"):
            stage.dequantize(Quantized((1,), parts))


@pytest.mark.parametrize(
    ("stage", "tie", "even"),
    [(Fp8(), 464.0, True), (Fp16(), 65520.0, False), (Bf16(), (2 - 2.0**-8) * 2.0**127, False)],
    ids=repr,
)
def test_overflow_begins_half_a_step_beyond_the_largest_value(
    stage: Quantizer, tie: float, *, even: bool
) -> None:
    """At the tie itself if the largest value is not the even neighbour."""
    below, beyond = (float(np.nextafter(np.float32(tie), np.float32(to))) for to in (0, np.inf))
    good, bad = (tie, beyond) if even else (below, tie)

    assert stage.dequantize(stage.quantize(torch.tensor([good]))) < tie
    with pytest.raises(UsageError, match=rf"^weight -\S+ at \[1, 2\] overflows {stage.label}"):
        stage.quantize(torch.tensor([[0.0, 1.0, 2.0], [0.0, good, -bad]]))


def test_rounding_is_half_to_even() -> None:
    weight = torch.tensor([17.0, 19.0, 2.0**-10, 1.1 * 2.0**-10])

    assert Fp8().dequantize(Fp8().quantize(weight)).tolist() == [16.0, 20.0, 0.0, 2.0**-9]


def test_symbols_of_fp8_keep_rows_and_columns_others_are_planes_of_bytes() -> None:
    assert [spec.shape for spec in Fp8().parts((3, 2, 5))] == [(3, 10)]
    assert [spec.shape for spec in Fp16().parts((3, 10))] == [(30, 1)] * 2
    parts = Bf16().quantize(torch.tensor([1.0, -2.0])).parts
    assert parts["data.0"].tolist() == [[128], [0]]
    assert parts["data.1"].tolist() == [[63], [192]]


def test_labels() -> None:
    assert [stage.label for stage in (Fp8(), Fp16(), Bf16())] == ["fp8", "fp16", "bf16"]
