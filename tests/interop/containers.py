"""Small containers of every format, as their systems could have written them."""

import shutil
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.interop import FORMATS, Container, StoredTensor
from artpack.quantize import (
    Fp8,
    Fp16,
    GroupLevels,
    LowRank,
    Raw,
    RowAsymInt,
    RowInt,
    RowPentanary,
)
from artpack.quantize.grids.factors import Factors, GroupFactors, RowFactors
from artpack.quantize.rounding.clips import GivenClip
from artpack.quantize.scales import LogDeltaScales
from artpack.stages import Quantizer

needs_lrzip = pytest.mark.skipif(
    not (shutil.which("lrzip") and shutil.which("prlimit")),
    reason="the program lrzip or prlimit is missing",
)
NAMES = [pytest.param(name, marks=needs_lrzip if name == "pergroup" else ()) for name in FORMATS]
"""All formats; what needs a program is skipped without it."""

INT5, INT6, INT8 = (RowInt(bits, GivenClip()) for bits in (5, 6, 8))
QUINARY = GroupLevels(2, 8, LogDeltaScales(5))


def weight(*shape: int, seed: int = 0) -> Tensor:
    """Return normal weights."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stored(
    name: str, grid: Quantizer, *shape: int, dtype: str = "float32", seed: int = 0
) -> StoredTensor:
    """Quantize random weights."""
    return StoredTensor(name, dtype, grid, grid.quantize(weight(*shape, seed=seed)))


def make(name: str) -> Container:
    """Return a container of a format."""
    return Container(name, tuple(MAKERS[name]()), banked=MAKERS[name] is _gptq)


def _gptq() -> Iterable[StoredTensor]:
    for layer in range(2):
        yield stored(f"blocks.{layer}.attn.c_q.weight", INT6, 16, 16, seed=layer)
        yield stored(f"blocks.{layer}.attn.proj.weight", Fp16(), 16, 16)
    kinds: tuple[Factors, ...] = (GroupFactors(8), RowFactors(4))
    for layer, factors in enumerate(kinds):
        grid = LowRank(INT6, 2, factors)
        yield stored(f"blocks.{layer}.mlp.fc.weight", grid, 24, 16, seed=layer)
    yield stored("tok_emb.weight", RowInt(7, GivenClip()), 40, 16, dtype="bfloat16")
    for layer in range(2):
        yield stored(f"blocks.{layer}.attn.attn_gate_w", INT8, 4, 12)
        yield stored(f"blocks.{layer}.attn_scale", Fp16(), 16)
    yield stored("other.weight", INT6, 8, 16)
    yield stored("blocks.2.attn.c_q.weight", INT6, 0, 16)
    yield stored("blocks.3.attn.c_q.weight", Fp16(), 3, 16)
    yield stored("smear_lambda", Raw("float32"))


def _levels() -> Iterable[StoredTensor]:
    yield stored("blocks.0.attn.c_qkv.weight", QUINARY, 32, 16, dtype="bfloat16")
    yield stored("blocks.0.mlp.fc.weight", QUINARY, 24, 20, dtype="bfloat16")
    four, eight = (GroupLevels(2, 8, LogDeltaScales(bits)) for bits in (4, 8))
    one = GroupLevels(2, 1, LogDeltaScales(5))
    yield stored("blocks.0.mlp.proj.weight", four, 5, 24, dtype="bfloat16")
    yield stored("blocks.0.odd.weight", eight, 2, 3, 8, dtype="bfloat16")
    # Queries are as many rows as columns, the filled-up ones counted: 24 of 30, not 20.
    yield stored("blocks.1.attn.c_qkv.weight", QUINARY, 30, 20, dtype="bfloat16")
    yield stored("blocks.1.plain.weight", GroupLevels(2, 8), 5, 24, dtype="bfloat16")
    # So many scales that they go into a payload.
    yield stored("blocks.1.mlp.fc.weight", GroupLevels(2, 1), 128, 256, dtype="bfloat16")
    yield stored("blocks.1.mlp.proj.weight", one, 256, 256, dtype="bfloat16")
    yield stored("tok_emb.weight", Fp8(), 260, 256, dtype="bfloat16")
    yield stored("skip_weights", Fp8(), 2, 16, dtype="bfloat16")
    yield stored("vocab_bias", Fp16(), 260, dtype="bfloat16")


def _mixed() -> Iterable[StoredTensor]:
    yield stored("tok_emb.weight", INT8, 40, 16, dtype="bfloat16")
    yield stored("blocks.0.mlp.fc.weight", INT5, 24, 16)
    yield stored("blocks.0.attn.c_q.weight", INT6, 16, 16)
    yield stored("blocks.1.attn.c_q.weight", INT5, 0, 16)
    yield stored("inference_temp", Fp16(), dtype="bfloat16")
    yield StoredTensor("steps", "int64", Raw("int64"), Raw("int64").quantize(torch.arange(3)))


def _payload() -> Iterable[StoredTensor]:
    yield stored("bigram.scale", Fp16())
    yield stored("tok_emb.weight", INT8, 40, 16, dtype="bfloat16")
    yield stored("skip_weights", Raw("float32"), 2, 16)
    yield stored("upper_blocks.0.mlp.fc.weight", INT5, 24, 16)
    yield stored("upper_blocks.10.mlp.fc.weight", INT5, 24, 16)
    yield stored("ve_shared.proj.weight", Fp16(), 4, 16)


def _rans() -> Iterable[StoredTensor]:
    for bits in (4, 5, 6, 8):
        yield stored(f"blocks.{bits}.attn.c_q.weight", RowAsymInt(bits), 16, 300)
    yield stored("blocks.0.mlp.up.weight", RowPentanary(), 24, 16)
    yield stored("blocks.1.mlp.up.weight", RowPentanary(), 0, 16)
    yield stored("skip_weights", Fp16(), 2, 16)


MAKERS: dict[str, Callable[[], Iterable[StoredTensor]]] = {
    "per-stream": _levels,
    "pergroup": _gptq,
    "byte-shuffle": _gptq,
    "byte-shuffle-xz": _gptq,
    "torch-zstd": _mixed,
    "torch-lzma": _payload,
    "payload-zstd": _payload,
    "payload-zlib": _payload,
    "rans": _rans,
}


def check_same(got: Container, want: Container) -> None:
    """Compare everything that a container holds."""
    assert (got.format, got.banked) == (want.format, want.banked)
    assert [tensor.name for tensor in got.tensors] == [tensor.name for tensor in want.tensors]
    for mine, other in zip(got.tensors, want.tensors, strict=True):
        assert (mine.dtype, mine.quantizer) == (other.dtype, other.quantizer), mine.name
        assert mine.quantized.shape == other.quantized.shape, mine.name
        assert mine.quantized.parts.keys() == other.quantized.parts.keys(), mine.name
        for part, symbols in mine.quantized.parts.items():
            np.testing.assert_array_equal(symbols, other.quantized.parts[part], mine.name)
