"""Integers scaled by the largest magnitude: exact examples, and a slow reference."""

import numpy as np
import pytest
import torch

from artpack.errors import UsageError
from artpack.quantize.asym_int import RowAsymInt
from artpack.quantize.parts import join_bytes


def test_levels_run_from_minus_half_to_half_minus_one() -> None:
    stage = RowAsymInt(2)
    weight = torch.tensor([[-1.0, -0.5, 0.0, 0.5, 1.0]])

    quantized = stage.quantize(weight)

    assert quantized.parts["codes"].tolist() == [[0, 1, 2, 3, 3]]
    assert stage.dequantize(quantized).tolist() == [[-1.0, -0.5, 0.0, 0.5, 0.5]]


@pytest.mark.parametrize("bits", range(2, 9))
def test_codes_and_scales_are_those_of_a_slow_reference(bits: int) -> None:
    random = np.random.default_rng(bits)
    weight = torch.from_numpy(random.normal(0, 0.1, (6, 83))).float()
    half = 2 ** (bits - 1)

    quantized = RowAsymInt(bits).quantize(weight)

    scales = join_bytes("scales", quantized.parts, torch.float16).numpy()
    for row, symbols, scale in zip(
        weight.double().tolist(), quantized.parts["codes"], scales, strict=True
    ):
        largest = max(map(abs, row))
        codes = [max(-half, min(half - 1, round(w / largest * half))) for w in row]
        assert (symbols.astype(int) - half).tolist() == codes
        assert scale == np.float16(largest)
    expected = (quantized.parts["codes"].astype(np.float64) - half) * scales[:, None] / half
    assert RowAsymInt(bits).dequantize(quantized).tolist() == expected.tolist()


def test_a_row_of_zeros_takes_the_floor_of_the_original() -> None:
    quantized = RowAsymInt(4).quantize(torch.zeros(1, 2))

    assert join_bytes("scales", quantized.parts, torch.float16).item() == np.float16(1e-5)


def test_weights_beyond_fp16_are_an_error() -> None:
    with pytest.raises(UsageError, match="row 1 needs a scale of 70000"):
        RowAsymInt(6).quantize(torch.tensor([[1.0], [-70000.0]]))


@pytest.mark.parametrize("bits", [1, 9])
def test_impossible_settings_are_refused(bits: int) -> None:
    with pytest.raises(UsageError, match="bits must be 2 to 8"):
        RowAsymInt(bits)


def test_label() -> None:
    assert RowAsymInt(6).label == "asym-int6"
