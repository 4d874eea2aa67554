"""Small models exported by the published systems' own scripts, tensor by tensor."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from artpack.quantize.grids.asym_int import RowAsymInt
from artpack.quantize.grids.floats import Fp8, Fp16
from artpack.quantize.grids.group_levels import GroupLevels
from artpack.quantize.grids.pentanary import RowPentanary
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.parts import join_bytes
from artpack.quantize.rounding.clips import PercentileClip, StdClip
from artpack.quantize.scales import LogDeltaScales
from artpack.stages import Quantizer


def read_json(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(path.read_text()))


def fp32_sha256(tensor: Tensor) -> str:
    return sha256(tensor.float().numpy().tobytes()).hexdigest()


def test_every_tensor_of_2086(shared: Path) -> None:
    case = shared / "golden" / "pr2086" / "A"
    weights = load_file(case / "state_dict.safetensors")
    expected = np.load(case / "quant.npz")
    decoded = read_json(case / "artifact.json")["tensors"]
    stages: dict[str, Quantizer] = {
        "quinary": GroupLevels(2, 36, LogDeltaScales(5)),
        "fp8": Fp8(),
        "fp16": Fp16(),
    }
    for name, meta in read_json(case / "quant.json")["tensors"].items():
        stage = stages[meta["type"]]
        quantized = stage.quantize(weights[name])
        parts = quantized.parts
        if meta["type"] == "quinary":
            np.testing.assert_array_equal(
                parts["codes"].astype(np.int8) - 2, expected[f"{name}__codes_i8"]
            )
            np.testing.assert_array_equal(
                parts["scales"].ravel(), expected[f"{name}__scale_delta_u8"]
            )
            assert join_bytes("anchor_step", parts, torch.float16).tolist() == [
                meta["scale_anchor_fp16"],
                meta["scale_step_fp16"],
            ]
        else:
            suffix = "fp8_e4m3fn_bits_u8" if stage == Fp8() else "f16"
            data = np.hstack([plane.reshape(-1, 1) for plane in parts.values()])
            published = expected[f"{name}__{suffix}"]
            assert data.tobytes() == published.astype(published.dtype.newbyteorder("<")).tobytes()
        back = stage.dequantize(quantized)
        assert fp32_sha256(back) == decoded[name]["sha256_f32_of_fp32_dequant"]
        assert fp32_sha256(back.bfloat16()) == decoded[name]["sha256_f32_of_default_bf16_dequant"]


def test_scales_of_2086_in_four_five_and_eight_bits(shared: Path) -> None:
    case = shared / "golden" / "pr2086" / "A"
    expected = np.load(case / "quant.npz")
    name = read_json(case / "quant.json")["scale_before_quant_tensor"]
    scales = torch.from_numpy(expected[f"{name}__scale_f16_before_quant"]).reshape(1, -1)
    parts = {bits: LogDeltaScales(bits).quantize(scales) for bits in (4, 5, 8)}

    nibbles = parts[4]["scales"].reshape(-1, 2)
    np.testing.assert_array_equal(
        nibbles[:, 0] | nibbles[:, 1] << 4, expected[f"{name}__scale4bit_delta"]
    )
    np.testing.assert_array_equal(parts[5]["scales"][0], expected[f"{name}__scale_delta_u8"])
    np.testing.assert_array_equal(
        parts[8]["scales"][0].astype(int) - 128, expected[f"{name}__scale8bit_delta"]
    )
    for bits, key in ((4, "scale4bit"), (5, "scale"), (8, "scale8bit")):
        back = LogDeltaScales(bits).dequantize(parts[bits], shape=(1, scales.numel()))
        np.testing.assert_array_equal(back[0].numpy(), expected[f"{name}__{key}_dequant_f16"])


def test_every_matrix_of_1123(shared: Path) -> None:
    case = shared / "golden" / "pr1123" / "A"
    weights = load_file(case / "state_dict.safetensors")
    expected = np.load(case / "quant.npz")
    decoded = read_json(case / "artifact.json")["tensors"]
    for name, meta in read_json(case / "quant.json")["tensors"].items():
        five = meta["kind"] == "pentanary"
        stage = RowPentanary() if five else RowAsymInt(int(meta["kind"].removeprefix("int")))

        quantized = stage.quantize(weights[name])

        assert sha256(quantized.parts["codes"].tobytes()).hexdigest() == meta["symbols_sha256"]
        np.testing.assert_array_equal(
            join_bytes("scales", quantized.parts, torch.float16), expected[f"{name}__scales_f16"]
        )
        assert fp32_sha256(stage.dequantize(quantized)) == decoded[name]["sha256_f32"]


BANKS = {
    "attn.c_q": ("qo_bank", 0),
    "attn.proj": ("qo_bank", 1),
    "attn.c_k": ("kv_bank", 0),
    "attn.c_v": ("kv_bank", 1),
    "mlp.fc": ("mlp_up_bank", 0),
    "mlp.proj": ("mlp_down_bank", 0),
}


def unbanked(weights: dict[str, Tensor], name: str) -> Tensor:
    """Return a tensor by the name of its export; banks hold all layers, outputs after inputs."""
    layer = re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", name)
    if name in weights or layer is None:
        return weights[name]
    bank, second = BANKS[layer[2]]
    layers = len(weights["mlp_up_bank"])
    return weights[bank][second * layers + int(layer[1])]


@pytest.mark.parametrize(
    ("folder", "file"),
    [("A", "state_dict.safetensors"), ("extra_attn_gptq", "weights.npz")],
)
def test_row_steps_of_1934(shared: Path, folder: str, file: str) -> None:
    case = shared / "golden" / "pr1934" / folder
    if file.endswith(".npz"):
        weights = {k: torch.from_numpy(v).float() for k, v in np.load(case / file).items()}
    else:
        weights = load_file(case / file)
    expected = np.load(case / "quant.npz")
    tensors = read_json(case / "quant.json")["tensors"]
    names = [name for name in tensors if f"{name}.scale" in expected]
    assert names
    for name in names:
        stage = RowInt(tensors[name]["bits"], StdClip(tensors[name]["clip_sigmas"]))
        steps = stage.steps(unbanked(weights, name)).numpy().ravel()
        np.testing.assert_array_equal(steps, expected[f"{name}.scale"])


def test_int8_gates_of_1934(shared: Path) -> None:
    units = np.load(shared / "golden" / "pr1934" / "extra_attn_gptq" / "units.npz")
    weight = torch.from_numpy(units["gate_w"])

    parts = RowInt(8, PercentileClip(100.0)).quantize(weight).parts

    np.testing.assert_array_equal(parts["codes"].astype(int) - 127, units["gate_q"])
    # The original stores 0 for a row of zeros; here any step will do, and 0 is none.
    alive = weight.any(dim=1).numpy()
    np.testing.assert_array_equal(
        join_bytes("scales", parts, torch.float16).numpy()[alive], units["gate_s"][alive]
    )
