"""
The container of PR 576: a zstd frame around ``torch.save`` of entries ``w`` and meta ``m``.

A tensor is either one entry under its own name, or int8 codes under ``.q`` and one fp16
scale a row under ``.scale``; one without dimensions is for the whole tensor. The meta is
``passthrough``, ``passthrough_ctrl`` or ``{"type": "int6"}``; that name means five bits
as well as six.

Source: parameter-golf pull request 576.
"""

from collections.abc import Mapping
from typing import Any

import torch

from artpack.errors import CorruptError
from artpack.interop.archive import write_archive
from artpack.interop.codes import codes_and_scales, plain, plain_tensor, row_int
from artpack.interop.container import Container, StoredTensor
from artpack.interop.fields import check_empty, pop, same, shown
from artpack.interop.wrapping import encode_zstd
from artpack.quantize import RowInt

NAME = "torch-zstd"
BITS = {"int6": None, "int8": 8}
"""Type in the meta to bits; None for the fewest that hold the codes."""

BF16 = {"tok_emb.weight", "bigram.embed.weight", "ve_shared.embed.weight", "inference_temp"}
"""What the system's own model holds as bf16; everything else is fp32."""


def read(entries: dict[str, Any], meta: Mapping[str, Any]) -> Container:
    """
    Read the content of a container.

    Args:
        entries: What is under ``w``; taken apart here.
        meta: What is under ``m``.

    Returns:
        Its tensors, in the order of the meta.

    Raises:
        CorruptError: An entry is missing, of the wrong kind, or belongs to nothing.

    """
    tensors = tuple(_read(name, kind, entries) for name, kind in meta.items())
    check_empty(entries, "the container")
    return Container(NAME, tensors)


def _read(name: str, kind: object, entries: dict[str, Any]) -> StoredTensor:
    dtype = "bfloat16" if name in BF16 else "float32"
    if isinstance(kind, str) and kind in ("passthrough", "passthrough_ctrl"):
        return plain(name, pop(entries, name, "the container"), dtype)
    if not isinstance(kind, dict) or not any(same(kind, {"type": known}) for known in BITS):
        raise CorruptError(f"{name!r}: unknown meta {shown(kind)}")
    codes, scales = (pop(entries, name + end, "the container") for end in (".q", ".scale"))
    stored = row_int(codes, scales, bits=BITS[kind["type"]], where=repr(name))
    return StoredTensor(name, dtype, *stored)


def write(container: Container) -> bytes:
    """
    Write a container.

    Args:
        container: Whole numbers with a scale a row, and plain tensors.

    Returns:
        The whole file.

    Raises:
        UsageError: A tensor is in another grid.

    """
    entries: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    for tensor in container.tensors:
        name, grid = tensor.name, tensor.quantizer
        if isinstance(grid, RowInt):
            codes, scales = codes_and_scales(tensor)
            entries[name + ".q"] = codes
            entries[name + ".scale"] = scales if codes.ndim > 1 else scales.reshape(())
            meta[name] = {"type": "int6" if grid.bits <= 6 else "int8"}
        else:
            entries[name] = kept = plain_tensor(tensor)
            meta[name] = "passthrough_ctrl" if kept.dtype == torch.float32 else "passthrough"
    return encode_zstd(write_archive({"w": entries, "m": meta}))
