"""GGUF files, as llama.cpp ships models: dequantized, under the names of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from artpack.checkpoint.gguf_header import HALVES, GgufHeader, GgufTensor, read_gguf_header
from artpack.checkpoint.gguf_names import Translation, find_translation
from artpack.checkpoint.optional import import_gguf
from artpack.checkpoint.source import Deferred, Loaded, PackedForm, Source, listed, reason
from artpack.errors import CheckpointError
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

_PLAIN = {
    "F64": "float64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
}
"""Types that are no weights, and are read as they are: what numpy and torch call them."""


def gguf_source(path: Path) -> Source:
    """
    Open a GGUF file; tensors are dequantized one at a time, whenever they are read.

    Args:
        path: The file.

    Returns:
        Its tensors in its order. Matrices in 16 bits keep their dtype, all that is
        quantized and all vectors are float32. If transformers knows the architecture,
        names and shapes are those of its models, if not, llama.cpp's.

    Raises:
        CheckpointError: The file is damaged, or cannot be dequantized.
        UsageError: A package that this needs is missing.

    Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; transformers,
    ``modeling_gguf_pytorch_utils``.

    """
    header = read_gguf_header(path)
    _check_types(path, header)
    translation = find_translation(path, header)
    names, notes = (
        _as_they_are(header) if translation is None else _group(path, header, translation)
    )
    return Source((path,), lambda: Loaded(_deferred(path, names, translation), notes))


def _as_they_are(header: GgufHeader) -> tuple[dict[str, list[GgufTensor]], tuple[str, ...]]:
    note = (
        f"transformers cannot read GGUF files of {header.architecture!r}:"
        " the names are llama.cpp's, and there is no config"
    )
    return {tensor.name: [tensor] for tensor in header.tensors}, (note,)


def _check_types(path: Path, header: GgufHeader) -> None:
    """Dequantize a block of each type, so that what cannot be is known before the work begins."""
    gguf = import_gguf()
    for kind in {tensor.kind for tensor in header.tensors}:
        block_bytes = gguf.GGML_QUANT_SIZES[kind][1]
        try:
            _dequantize(np.zeros(block_bytes, np.uint8), kind)
        except NotImplementedError as error:
            raise CheckpointError(
                f"{path}: this version of the package gguf cannot dequantize {kind.name}"
            ) from error


def _group(
    path: Path, header: GgufHeader, translation: Translation
) -> tuple[dict[str, list[GgufTensor]], tuple[str, ...]]:
    """Find what each tensor of Hugging Face is made of; what is of no use is noted."""
    names: dict[str, list[GgufTensor]] = {}
    left_out = []
    for tensor in header.tensors:
        name = translation.find_name(tensor.name)
        if name is None:
            left_out.append(tensor.name)
        else:
            names.setdefault(name, []).append(tensor)
    if not names:
        raise CheckpointError(f"{path}: no tensor in it is one of a {header.architecture!r}")
    for name, parts in names.items():
        shape, held = (
            translation.shapes[name],
            sum(np.prod(part.shape, dtype=int) for part in parts),
        )
        if np.prod(shape, dtype=int) != held:
            raise CheckpointError(
                f"{path}: {name!r} has {held} weights, and transformers expects the shape {shape}"
            )
    notes = []
    if left_out:
        notes.append(f"left out, in the file but not in the model: {listed(left_out)}")
    if missing := translation.missing(names):
        notes.append(f"in the model but not in the file: {listed(missing)}")
    return names, tuple(notes)


def _deferred(
    path: Path, names: Mapping[str, list[GgufTensor]], translation: Translation | None
) -> dict[str, Deferred]:
    data = np.memmap(path, np.uint8, "r")
    deferred = {}
    for name, parts in names.items():
        shape = parts[0].shape if translation is None else translation.shapes[name]
        dtype = _dtype(shape, parts)
        make = partial(_make, name, parts, translation, data, shape=shape, dtype=dtype)
        kinds = "+".join(sorted({part.kind.name for part in parts}))
        packed = PackedForm(kinds, sum(part.bytes for part in parts))
        deferred[name] = Deferred(shape, dtype, make, packed)
    return deferred


def _dtype(shape: tuple[int, ...], parts: Iterable[GgufTensor]) -> torch.dtype:
    kinds = {part.kind.name for part in parts}
    kind = kinds.pop() if len(kinds) == 1 else ""
    # transformers computes with some vectors: what it makes of them may need more bits.
    kept = _PLAIN if len(shape) < 2 else _PLAIN | HALVES
    dtype: torch.dtype = getattr(torch, kept.get(kind, "float32"))
    return dtype


def _make(
    name: str,
    parts: Iterable[GgufTensor],
    translation: Translation | None,
    data: NDArray[np.uint8],
    *,
    shape: tuple[int, ...],
    dtype: torch.dtype,
) -> Tensor:
    read = {
        part.name: _dequantize(data[part.start : part.start + part.bytes], part.kind).reshape(
            part.shape
        )
        for part in parts
    }
    if translation is None:
        (made,) = read.values()
    else:
        try:
            made = translation.translate(name, read)
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise CheckpointError(
                f"{name!r}: transformers cannot make it of {listed(read)} ({reason(error)})"
            ) from error
    if made.shape != shape:
        raise CheckpointError(f"{name!r}: transformers makes {tuple(made.shape)} of {shape}")
    return torch.from_numpy(np.require(made, requirements=("C", "W"))).to(dtype)


def _dequantize(content: NDArray[np.uint8], kind: Any) -> NDArray[Any]:
    """Return the values of whole blocks, in a row."""
    if kind.name in _PLAIN:
        return content.view(np.dtype(_PLAIN[kind.name]))
    if not content.size:  # the package cannot
        return np.zeros(0, np.float32)
    with np.errstate(all="ignore"):  # of scales that are not finite: so are the weights then
        values: NDArray[np.float32] = import_gguf().dequantize(content, kind)
    return values.reshape(-1)
