"""
GPTQ as its users get it: groups of 128, packed integers, the embedding in 16 bits.

Settings are those that GPTQModel has by default: symmetric grids, columns in the order of their
activations (``desc_act``), blocks of layers one after another on what the quantized ones before
them give. Rows of 576 end in a group of 64.

Source: Frantar et al., "GPTQ" (2210.17323); the format is that of AutoGPTQ and GPTQModel.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

GROUP = 128
DAMPING = 0.05
BLOCK = 128

STAGES = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
"""Matrices of a layer that share their inputs, in the order in which they are quantized."""

Call = tuple[tuple[Any, ...], dict[str, Any]]


def quantize(folder: Path, windows: NDArray[np.int64], bits: int) -> dict[str, Tensor]:
    """Quantize a Llama; return the tensors that the file has, by the names of AutoGPTQ."""
    import transformers  # noqa: PLC0415 - takes long

    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    stored: dict[str, Tensor] = {}
    with torch.inference_mode():
        calls = _first_calls(model, windows)
        for i, layer in enumerate(model.model.layers):
            for names in STAGES:
                hessian = _hessian(layer, names[0], calls)
                for name in names:
                    module = layer.get_submodule(name)
                    packed = quantize_matrix(module.weight.detach().clone(), hessian, bits)
                    front = f"model.layers.{i}.{name}."
                    stored |= {front + key: value for key, value in packed.items()}
                    module.weight.copy_(unpack_matrix(packed, bits))
            calls = [((_output(layer, *call), *call[0][1:]), call[1]) for call in calls]
        for name, tensor in model.state_dict().items():
            if not name.endswith("_proj.weight") and name != "lm_head.weight":
                stored[name] = tensor.bfloat16()
    return stored


def unpack(stored: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    """Read a file's tensors again."""
    weights: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        front, _, kind = name.rpartition(".")
        if kind == "qweight":
            keys = ("qweight", "qzeros", "scales", "g_idx")
            packed = {key: stored[f"{front}.{key}"] for key in keys}
            weights[f"{front}.weight"] = unpack_matrix(packed, bits)
        elif kind == "weight":
            weights[name] = tensor.float()
    return weights


def quantize_matrix(weight: Tensor, hessian: Tensor, bits: int) -> dict[str, Tensor]:
    """Round a matrix (out, in); the errors of each column go to those that come later."""
    order = hessian.diagonal().argsort(descending=True)
    weight, hessian = weight[:, order], hessian[order][:, order].double()
    hessian.diagonal().add_(DAMPING * hessian.diagonal().mean())
    inverse = torch.linalg.cholesky(
        torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True
    ).float()
    scales, codes = [], torch.empty_like(weight, dtype=torch.int32)
    middle = 1 << (bits - 1)
    for start in range(0, weight.shape[1], BLOCK):
        end = min(start + BLOCK, weight.shape[1])
        scale = (weight[:, start:end].abs().amax(1) * 2 / (2**bits - 1)).clamp_min(1e-6).half()
        scales.append(scale)
        errors = torch.zeros_like(weight[:, start:end])
        for j in range(start, end):
            column = weight[:, j]
            codes[:, j] = (column / scale.float()).round().add(middle).clamp(0, 2**bits - 1)
            rounded = (codes[:, j] - middle) * scale.float()
            errors[:, j - start] = (column - rounded) / inverse[j, j]
            weight[:, j:end] -= errors[:, j - start, None] * inverse[j, j:end]
        weight[:, end:] -= errors @ inverse[start:end, end:]
    place = order.argsort()
    return {
        "qweight": _pack(codes[:, place].T, bits),
        "qzeros": _pack(torch.full((len(weight), len(scales)), middle - 1).int(), bits).T,
        "scales": torch.stack(scales),
        "g_idx": (place // GROUP).int(),
    }


def unpack_matrix(packed: Mapping[str, Tensor], bits: int) -> Tensor:
    """Return the matrix (out, in) that packed integers stand for."""
    scales, groups = packed["scales"].float(), packed["g_idx"].long()
    codes = _unpack(packed["qweight"], bits)[: len(groups)]
    zeros = _unpack(packed["qzeros"].T, bits)[: scales.shape[1]].T + 1
    return ((codes - zeros[groups]) * scales[groups]).T.contiguous()


def _pack(codes: Tensor, bits: int) -> Tensor:
    """Pack integers along the first axis into words of 32 bits, 32 of them into ``bits`` words."""
    rows, cols = codes.shape
    padded = np.zeros((-(-rows // 32) * 32, cols), np.uint8)
    padded[:rows] = codes.numpy()
    spread = np.unpackbits(padded[:, :, None], axis=2, count=bits, bitorder="little")
    words = spread.transpose(0, 2, 1).reshape(-1, 32, cols).transpose(0, 2, 1)
    whole = np.packbits(np.ascontiguousarray(words), axis=2, bitorder="little")
    return torch.from_numpy(whole.view(np.int32)[:, :, 0].copy())


def _unpack(words: Tensor, bits: int) -> Tensor:
    whole = np.ascontiguousarray(words.numpy())[:, :, None].view(np.uint8)
    spread = np.unpackbits(whole, axis=2, bitorder="little").transpose(0, 2, 1)
    codes = spread.reshape(-1, bits, words.shape[1]).transpose(0, 2, 1)
    return torch.from_numpy(np.packbits(codes, axis=2, bitorder="little")[:, :, 0].astype(np.int32))


def _first_calls(model: Any, windows: NDArray[np.int64]) -> list[Call]:
    """Return what the first layer is called with for each window."""
    calls: list[Call] = []

    def keep(_module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        calls.append((args, named))

    hook = model.model.layers[0].register_forward_pre_hook(keep, with_kwargs=True)
    for window in windows:
        model.model(torch.from_numpy(window)[None], use_cache=False)
    hook.remove()
    return calls


def _hessian(layer: Any, name: str, calls: list[Call]) -> Tensor:
    """Return the mean of products of a matrix's inputs; what comes after it is not run."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, args: tuple[Tensor]) -> None:
        inputs = args[0].flatten(0, -2)
        found.append(inputs.T @ inputs / len(inputs))

    hook = layer.get_submodule(name).register_forward_pre_hook(keep)
    for call in calls:
        _output(layer, *call)
    hook.remove()
    return torch.stack(found).mean(0)


def _output(layer: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
    output = layer(*args, **named)
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden
