"""Integers scaled by the largest magnitude: exact examples, and a slow reference."""

import numpy as np
import pytest
import torch

from artpack.errors import UsageError
from artpack.quantize.grids.asym_int import RowAsymInt
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


def test_a_share_of_the_magnitudes_clips_the_rest() -> None:
    weight = torch.tensor([[0.1, -0.2, 0.3, -0.4, 8.0], [5.0, 1.0, 2.0, -3.0, 4.0]])
    quantized = RowAsymInt(4).quantize(weight, share=0.85)  # int(0.85 * 5) = 4th smallest
    scales = join_bytes("scales", quantized.parts, torch.float16)
    assert scales.tolist() == torch.tensor([0.4, 4.0]).half().tolist()
    assert (quantized.parts["codes"].astype(int) - 8)[0].tolist() == [2, -4, 6, -8, 7]
    smallest = RowAsymInt(4).quantize(weight, share=0.01)
    scales = join_bytes("scales", smallest.parts, torch.float16)
    assert scales.tolist() == torch.tensor([0.1, 1.0]).half().tolist()


def test_the_shared_clip_is_the_mean_of_the_best_of_each_row() -> None:
    random = np.random.default_rng(5)
    rows = random.normal(0, 1, (3, 200)).astype(np.float32)
    rows[0, :12] = 9.0  # too many to be clipped without harm
    rows[1, 0] = 40.0  # one that is worth clipping
    half, best = 8, []
    for row in rows.astype(np.float64):
        errors = {}
        for share in (0.90, 0.925, 0.95, 0.975, 0.99, 0.995, 1.0):
            widest = np.sort(np.abs(row))[int(share * 200) - 1]
            codes = np.clip(np.round(np.clip(row / widest, -1, 1) * half), -half, half - 1)
            errors[share] = np.mean((row - codes / half * widest) ** 2)
        best.append(min(errors, key=lambda share: errors[share]))
    found = RowAsymInt(4).shared_clip(torch.from_numpy(rows))
    assert found == pytest.approx(np.mean(best), abs=1e-7)
    assert len(set(best)) > 1
    assert RowAsymInt(4).shared_clip(torch.zeros(2, 3)) == pytest.approx(0.9)
