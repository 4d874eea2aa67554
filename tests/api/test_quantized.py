"""Checkpoints that are quantized already: kept bit for bit, not run, and dequantized if asked."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import artpack
from artpack.errors import CheckpointError, UsageError

pytest.importorskip("transformers", reason="transformers is not installed")
import transformers

from tests.tiny_transformers import save_folder, tiny_tokenizer

FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
"""What four bits of MXFP4 stand for."""

Change = Callable[[str, Tensor], dict[str, Tensor]]


def words(*shape: int) -> Tensor:
    return torch.randint(-(2**31), 2**31 - 1, shape, dtype=torch.int32)


def codes(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def gptq(name: str, weight: Tensor) -> dict[str, Tensor]:
    rows, cols = weight.shape
    return {
        f"{name}.qweight": words(cols // 8, rows),
        f"{name}.qzeros": words(cols // 16, rows // 8),
        f"{name}.scales": torch.rand(cols // 16, rows).half(),
        f"{name}.g_idx": (torch.arange(cols) // 16).int(),
    }


def awq(name: str, weight: Tensor) -> dict[str, Tensor]:
    rows, cols = weight.shape
    return {
        f"{name}.qweight": words(cols, rows // 8),
        f"{name}.qzeros": words(cols // 16, rows // 8),
        f"{name}.scales": torch.rand(cols // 16, rows).half(),
    }


def fp8(name: str, weight: Tensor) -> dict[str, Tensor]:
    rows, cols = weight.shape
    return {
        f"{name}.weight": weight.to(torch.float8_e4m3fn),
        f"{name}.weight_scale_inv": torch.rand(rows // 8, cols // 8) + 0.5,
    }


def nf4(name: str, weight: Tensor) -> dict[str, Tensor]:
    return {
        f"{name}.weight": codes(weight.numel() // 2, 1),
        f"{name}.weight.absmax": codes(weight.numel() // 64),
        f"{name}.weight.nested_absmax": torch.rand(1),
        f"{name}.weight.nested_quant_map": torch.rand(256),
        f"{name}.weight.quant_map": torch.rand(16),
        f"{name}.weight.quant_state.bitsandbytes__nf4": codes(80),
    }


def int8(name: str, weight: Tensor) -> dict[str, Tensor]:
    return {
        f"{name}.weight": torch.randint(-127, 128, tuple(weight.shape), dtype=torch.int8),
        f"{name}.SCB": torch.rand(len(weight)),
        f"{name}.weight_format": torch.tensor(0, dtype=torch.uint8),
    }


METHODS: dict[str, tuple[dict[str, Any], Change]] = {
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 16}, gptq),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": 16}, awq),
    "fp8": ({"quant_method": "fp8", "weight_block_size": [8, 8]}, fp8),
    "nf4": ({"quant_method": "bitsandbytes", "load_in_4bit": True}, nf4),
    "int8": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, int8),
}


def quantize_folder(folder: Path, method: str) -> dict[str, Tensor]:
    """Write a Llama whose projections are quantized by hand; return what is stored."""
    told, change = METHODS[method]
    save_folder(folder, "llama-untied")
    stored: dict[str, Tensor] = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        projection = name.endswith("_proj.weight")
        stored |= change(name.removesuffix(".weight"), weight) if projection else {name: weight}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    declare(folder, told)
    return stored


def declare(folder: Path, told: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": told}))


@pytest.mark.parametrize("recipe", ["int4", "frontier"])
@pytest.mark.parametrize("method", METHODS)
def test_integers_and_scales_come_back_bit_for_bit(
    method: str, recipe: str, tmp_path: Path
) -> None:
    stored = quantize_folder(tmp_path / "folder", method)
    result = artpack.compress(tmp_path / "folder", recipe=recipe, profile="fast")
    named = METHODS[method][0]["quant_method"]
    assert any(f"{named} as quantization_config" in note for note in result.notes)
    result.save(tmp_path / "packed")
    artpack.unpack(tmp_path / "packed", tmp_path / "back")
    back = load_file(tmp_path / "back" / "model.safetensors")
    assert back.keys() == stored.keys()
    for name in (name for name in stored if "_proj" in name):
        assert back[name].dtype == stored[name].dtype, name
        assert torch.equal(
            back[name].reshape(-1).view(torch.uint8), stored[name].reshape(-1).view(torch.uint8)
        ), name
    kept = json.loads((tmp_path / "back" / "config.json").read_text())
    assert kept["quantization_config"] == METHODS[method][0]


@pytest.mark.parametrize("method", ["gptq", "fp8"])
def test_they_are_not_run_without_their_scales(method: str, tmp_path: Path) -> None:
    quantize_folder(tmp_path / "folder", method)
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat. " * 8)
    with pytest.raises(UsageError, match=rf"quantized already \({method}\)"):
        artpack.evaluate(tmp_path / "folder", text)
    with pytest.raises(UsageError, match=rf"quantized already \({method}\)"):
        artpack.compress(tmp_path / "folder", calibration_tokens=text)


def test_no_other_dtype_parts_them_from_their_scales(tmp_path: Path) -> None:
    quantize_folder(tmp_path / "folder", "fp8")
    artpack.compress(tmp_path / "folder", recipe="int8", profile="fast").save(tmp_path / "packed")
    with pytest.raises(UsageError, match="`dtype`: the weights are quantized"):
        artpack.unpack(tmp_path / "packed", tmp_path / "back", dtype=torch.float16)


def mxfp4_folder(folder: Path) -> dict[str, Tensor]:
    """Write a tiny gpt-oss with its experts in MXFP4; return what these stand for."""
    torch.manual_seed(5)
    config = transformers.GptOssConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        num_local_experts=2,
        num_experts_per_tok=1,
        max_position_embeddings=64,
        layer_types=["full_attention"],
    )
    model: Any = transformers.GptOssForCausalLM(config)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    stored, meant = load_file(folder / "model.safetensors"), {}
    for name in [name for name in stored if name.endswith(("up_proj", "experts.down_proj"))]:
        experts, rows, cols = stored.pop(name).shape
        blocks = codes(experts, cols, rows // 32, 16)
        scales = torch.randint(120, 128, (experts, cols, rows // 32), dtype=torch.uint8)
        halves = torch.stack([FP4[(blocks & 15).long()], FP4[(blocks >> 4).long()]], -1)
        values = halves.reshape(*scales.shape, 32) * torch.exp2(scales.float() - 127)[..., None]
        meant[name] = values.reshape(experts, cols, rows).transpose(1, 2)
        stored |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    declare(folder, {"quant_method": "mxfp4"})
    return meant


def test_mxfp4_is_dequantized_calibrated_and_scored(tmp_path: Path) -> None:
    meant = mxfp4_folder(tmp_path / "folder")
    exact = artpack.compress(
        tmp_path / "folder", dequantize=True, recipe="lossless", profile="fast"
    )
    exact.save(tmp_path / "exact")
    with artpack.open(tmp_path / "exact") as artifact:
        for name, weight in meant.items():
            assert torch.equal(artifact[name], weight), name
        assert b"quantization_config" not in artifact.files["config.json"]
        assert "tokenizer.json" in artifact.files
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat. " * 80)
    packed = artpack.compress(
        tmp_path / "folder", dequantize=True, calibration_tokens=text, profile="fast"
    )
    found = artpack.evaluate(packed, text, baseline=tmp_path / "exact")
    assert found.comparison is not None
    assert 0 <= found.comparison.kl_nats.value < 0.01


def test_fp8_is_dequantized_where_accelerate_is_installed(tmp_path: Path) -> None:
    stored = quantize_folder(tmp_path / "folder", "fp8")

    def pack() -> artpack.CompressResult:
        return artpack.compress(
            tmp_path / "folder", dequantize=True, recipe="lossless", profile="fast"
        )

    if importlib.util.find_spec("accelerate") is None:
        with pytest.raises(CheckpointError, match=r"cannot dequantize fp8 here.*accelerate"):
            pack()
        return
    pack().save(tmp_path / "packed")
    name = "model.layers.0.mlp.up_proj.weight"
    scales = stored[f"{name}_scale_inv"].repeat_interleave(8, 0).repeat_interleave(8, 1)
    assert torch.equal(artpack.load(tmp_path / "packed")[name], stored[name].float() * scales)


def test_what_cannot_be_dequantized_is_one_line(tmp_path: Path) -> None:
    quantize_folder(tmp_path / "gptq", "gptq")
    with pytest.raises(UsageError, match="transformers only runs gptq"):
        artpack.compress(tmp_path / "gptq", dequantize=True)
    save_folder(tmp_path / "plain", "gpt2")
    with pytest.raises(UsageError, match=r"no config\.json with a quantization_config"):
        artpack.compress(tmp_path / "plain", dequantize=True)
    with pytest.raises(UsageError, match="one folder"):
        artpack.compress({"w": torch.eye(4)}, dequantize=True)
