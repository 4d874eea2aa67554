"""Small GGUF files, written by the package gguf."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

KINDS = gguf.GGMLQuantizationType
VOCABULARY = ["<s>", "</s>", *"abcdefghijklmnopqrstuvwxyz012345678", "ab", "cd", "\u0120"]
LAYERS = 2

Tensors = Mapping[str, tuple[NDArray[Any], Any]]


def write(path: Path, architecture: str, tensors: Tensors, numbers: Mapping[str, float]) -> Path:
    """Write tensors, each in its type, and a tokenizer that knows letters only."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("small")
    if numbers:
        writer.add_block_count(LAYERS)
    for name, value in numbers.items():
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{architecture}.{name}", value)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(VOCABULARY)
    writer.add_token_merges(["a b", "c d"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, (values, kind) in tensors.items():
        content = gguf.quants.quantize(values.astype(np.float32), kind)
        writer.add_tensor(name, content, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def drawn(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Draw weights."""
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def llama(path: Path, kind: Any = KINDS.Q8_0, *, tied: bool = True) -> Path:
    """Write a Llama of two layers: width 64, 4 heads, 2 of keys and values."""
    tensors = {"token_embd.weight": (drawn(40, 64), kind), "output_norm.weight": _norm(64, 9)}
    for i in range(LAYERS):
        front = f"blk.{i}."
        shapes = {"attn_q": (64, 64), "attn_k": (32, 64), "attn_v": (32, 64)}
        shapes |= {"attn_output": (64, 64), "ffn_gate": (96, 64), "ffn_up": (96, 64)}
        shapes |= {"ffn_down": (64, 96)}
        for seed, (name, shape) in enumerate(shapes.items()):
            tensors[f"{front}{name}.weight"] = (drawn(*shape, seed=10 * i + seed), kind)
        tensors[f"{front}attn_norm.weight"] = _norm(64, i)
        tensors[f"{front}ffn_norm.weight"] = _norm(64, 5 + i)
    if not tied:
        tensors["output.weight"] = (drawn(40, 64, seed=99), kind)
    tensors["rope_freqs.weight"] = _norm(8, 3)
    return write(path, "llama", tensors, _WIDTHS | _ROPE)


def qwen2(path: Path, kind: Any = KINDS.F16) -> Path:
    """Write a Qwen of two layers, with biases."""
    tensors = {"token_embd.weight": (drawn(40, 64), kind), "output_norm.weight": _norm(64, 9)}
    for i in range(LAYERS):
        front = f"blk.{i}."
        shapes = {"attn_q": (64, 64), "attn_k": (32, 64), "attn_v": (32, 64)}
        for seed, (name, shape) in enumerate(shapes.items()):
            tensors[f"{front}{name}.weight"] = (drawn(*shape, seed=seed), kind)
            tensors[f"{front}{name}.bias"] = _norm(shape[0], seed)
        for name, shape in {"attn_output": (64, 64), "ffn_gate": (96, 64)}.items():
            tensors[f"{front}{name}.weight"] = (drawn(*shape), kind)
        tensors[f"{front}ffn_up.weight"] = (drawn(96, 64, seed=4), kind)
        tensors[f"{front}ffn_down.weight"] = (drawn(64, 96), kind)
        tensors[f"{front}attn_norm.weight"] = _norm(64, i)
        tensors[f"{front}ffn_norm.weight"] = _norm(64, 5 + i)
    return write(path, "qwen2", tensors, _WIDTHS | _ROPE)


def gpt2(path: Path, kind: Any = KINDS.Q4_0) -> Path:
    """Write a GPT-2 of two layers; its head lies beside the embedding."""
    tensors = {"token_embd.weight": (drawn(40, 64), kind), "output.weight": (drawn(40, 64), kind)}
    tensors["position_embd.weight"] = (drawn(1024, 64), KINDS.F32)
    for i in range(LAYERS):
        front = f"blk.{i}."
        shapes = {"attn_qkv": (192, 64), "attn_output": (64, 64)}
        shapes |= {"ffn_up": (256, 64), "ffn_down": (64, 256)}
        for name, shape in shapes.items():
            tensors[f"{front}{name}.weight"] = (drawn(*shape, seed=i), kind)
            tensors[f"{front}{name}.bias"] = _norm(shape[0], i)
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"{front}{name}.weight"] = _norm(64, i)
            tensors[f"{front}{name}.bias"] = _norm(64, 7 + i)
    for name in ("output_norm.weight", "output_norm.bias"):
        tensors[name] = _norm(64, 9)
    numbers = _WIDTHS | {"attention.layer_norm_epsilon": 1e-5, "feed_forward_length": 256}
    del numbers["attention.head_count_kv"]
    return write(path, "gpt2", tensors, numbers)


def _norm(size: int, seed: int) -> tuple[NDArray[np.float32], Any]:
    return drawn(size, seed=seed), KINDS.F32


_WIDTHS: dict[str, float] = {
    "context_length": 16,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}
_ROPE: dict[str, float] = {
    "rope.dimension_count": 16,
    "rope.freq_base": 10000.0,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "vocab_size": 40,
}
