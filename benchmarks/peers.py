"""Files that others make of a checkpoint, and the weights that come out of them again."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from artpack.calibration.file import Calibration
from artpack.coding.codecs import Zstd
from benchmarks import peer_program

NNCODEC_QPS = (-18, -22, -26, -30, -34)
GGUF_TYPES = ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")
K_QUANTS = ("Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K")
INTEGER_BITS = (8, 6, 5, 4)

ZSTD = Zstd(level=22)

_SCALE = ".scale"


@dataclass(frozen=True, eq=False)
class File:
    """
    A packed checkpoint.

    Attributes:
        method: Who packed it.
        setting: How finely.
        size: Bytes of the whole file.
        weights: What it unpacks to, by stored name.
    """

    method: str
    setting: str
    size: int
    weights: Mapping[str, Tensor]


def plain_integers(weights: Mapping[str, Tensor]) -> Iterator[File]:
    """Round each row to integers of its largest weight; safetensors of int8 and fp16, zstd."""
    for bits in INTEGER_BITS:
        content = safetensors.torch.save(_rounded(weights, 2 ** (bits - 1) - 1))
        packed = ZSTD.encode(content)
        stored = safetensors.torch.load(ZSTD.decode(packed, size=len(content)))
        unpacked = {
            name: stored[name].float() * stored[name + _SCALE].float()
            if name + _SCALE in stored
            else stored[name].float()
            for name in weights
        }
        yield File("rows in integers, zstd", f"int{bits}", len(packed), unpacked)


def nncodec_files(weights: Mapping[str, Tensor], python: Path) -> Iterator[File]:
    """Code by the standard ISO/IEC 15938-17 with dependent quantization."""
    for qp in NNCODEC_QPS:
        packed, unpacked = by_program("nncodec", str(qp), weights, python)
        yield File("nncodec", f"qp {qp}", len(packed), unpacked)


def gguf_files(weights: Mapping[str, Tensor], python: Path) -> Iterator[File]:
    """Round blocks of 32 as llama.cpp does, in the types that Python's gguf can write."""
    yield from _gguf("gguf", GGUF_TYPES, weights, python, None)


def k_quant_files(
    weights: Mapping[str, Tensor], python: Path, calibration: Calibration
) -> Iterator[File]:
    """Round blocks of 256 as llama.cpp does, all matrices alike, without and with its imatrix."""
    importance = {name: hessian.diagonal() for name, hessian in calibration.hessians.items()}
    yield from _gguf("k-quants", K_QUANTS, weights, python, None)
    yield from _gguf("k-quants, imatrix", K_QUANTS, weights, python, importance)


def _gguf(
    method: str,
    settings: Sequence[str],
    weights: Mapping[str, Tensor],
    python: Path,
    importance: Mapping[str, Tensor] | None,
) -> Iterator[File]:
    for setting in settings:
        packed, unpacked = by_program("gguf", setting, weights, python, importance)
        yield File(method, setting, len(packed), unpacked)
        yield File(f"{method}, zstd", setting, len(ZSTD.encode(packed)), unpacked)


def has_peer(peer: str, python: Path) -> bool:
    """Return whether another Python can import a peer; say so if not."""
    program = [str(python), "-W", "ignore", "-c", f"import {peer}"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"left out: {python} cannot import {peer}: {done.stderr.splitlines()[-1]}")
    return done.returncode == 0


def _rounded(weights: Mapping[str, Tensor], radius: int) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.ndim > 1 and weight.shape[0] >= peer_program.MIN_ROWS:
            largest = weight.abs().amax(-1, keepdim=True)
            scale = (largest / radius).clamp(min=torch.finfo(torch.float16).tiny).half()
            rounded = (weight / scale.float()).round().clamp(-radius, radius)
            stored |= {name: rounded.to(torch.int8), name + _SCALE: scale}
        else:
            stored[name] = weight.half()
    return stored


def by_program(
    peer: str,
    setting: str,
    weights: Mapping[str, Tensor],
    python: Path,
    importance: Mapping[str, Tensor] | None = None,
) -> tuple[bytes, dict[str, Tensor]]:
    """Return the file that a peer writes, and what it reads from it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / "weights.npz", folder / "packed", folder / "unpacked.npz"]
        _save(paths[0], weights)
        if importance is not None:
            paths.append(folder / "importance.npz")
            _save(paths[-1], importance)
        program = [str(python), "-W", "ignore", peer_program.__file__, f"{peer}={setting}"]
        subprocess.run([*program, *paths], check=True, stdout=sys.stderr)
        with np.load(paths[2]) as arrays:
            unpacked = {
                name: torch.from_numpy(arrays[name]).reshape(weight.shape)
                for name, weight in weights.items()
            }
        return paths[1].read_bytes(), unpacked


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
    np.savez(path, **arrays)
