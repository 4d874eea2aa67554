"""Five levels by thresholds: against a slow reference."""

import numpy as np
import torch

from artpack.quantize.grids.pentanary import RowPentanary
from artpack.quantize.parts import join_bytes


def test_codes_and_scales_are_those_of_a_slow_reference() -> None:
    random = np.random.default_rng(5)
    weight = torch.from_numpy(random.laplace(0, 0.02, (9, 77))).float()

    quantized = RowPentanary().quantize(weight)

    scales = join_bytes("scales", quantized.parts, torch.float16).numpy()
    for row, symbols, scale in zip(
        weight.double().tolist(), quantized.parts["codes"], scales, strict=True
    ):
        mean = sum(map(abs, row)) / len(row)
        codes = [
            (1 if w > 0 else -1) * ((abs(w) > 0.7 * mean) + (abs(w) > 1.4 * mean)) for w in row
        ]
        assert (symbols.astype(int) - 2).tolist() == codes
        fit = sum(w * c for w, c in zip(row, codes, strict=True)) / sum(c * c for c in codes)
        assert scale == np.float16(fit)
    expected = (quantized.parts["codes"].astype(np.float32) - 2) * scales.astype(np.float32)[
        :, None
    ]
    assert torch.equal(RowPentanary().dequantize(quantized), torch.from_numpy(expected))


def test_a_row_of_zeros_has_scale_zero() -> None:
    quantized = RowPentanary().quantize(torch.zeros(2, 3))

    assert quantized.parts["codes"].tolist() == [[2] * 3] * 2
    assert quantized.parts["scales.0"].tolist() == [[0]] * 2
    assert quantized.parts["scales.1"].tolist() == [[0]] * 2


def test_label() -> None:
    assert RowPentanary().label == "pentanary"
