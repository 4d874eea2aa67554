"""
The container of PR 826: an xz stream around ``torch.save`` of ``{"payload": entries}``.

A tensor is either one entry under its own name, or int8 codes under ``.q`` and one fp16
scale a row under ``.scale``. There is no meta: what a tensor is follows from the names.
Entries are sorted by the part of the model that they belong to, then by name.

Source: parameter-golf pull request 826.
"""

import re
from typing import Any

from artpack.interop.archive import write_archive
from artpack.interop.codes import codes_and_scales, plain, plain_tensor, row_int
from artpack.interop.container import Container, StoredTensor
from artpack.interop.wrapping import encode_xz
from artpack.quantize import RowInt

NAME = "torch-lzma"
PRESET = 6

BF16 = {"tok_emb.weight", "bigram.embed.weight", "ve_shared.embed.weight"}
"""What the system's own model holds as bf16; everything else is fp32."""

PARTS = (r"(tok_emb|bigram|smear)\.", r"skip_", r"upper_blocks\.", r"ve_")
"""Parts of the model, in the order of the entries; what is in none of them comes last."""


def read(payload: dict[str, Any]) -> Container:
    """
    Read the content of a container.

    Args:
        payload: Entry to tensor.

    Returns:
        Its tensors, in the order of the entries.

    Raises:
        CorruptError: An entry is of the wrong kind, or has codes without scales.

    """
    names = [name for name in payload if not _is_scale(name, payload)]
    return Container(NAME, tuple(_read(name, payload) for name in names))


def _is_scale(name: str, payload: dict[str, Any]) -> bool:
    stem = name.removesuffix(".scale")
    return stem != name and f"{stem}.q" in payload


def _read(entry: str, payload: dict[str, Any]) -> StoredTensor:
    name = entry.removesuffix(".q")
    dtype = "bfloat16" if name in BF16 else "float32"
    if name == entry:
        return plain(name, payload[entry], dtype)
    scales = payload.get(f"{name}.scale")
    return StoredTensor(name, dtype, *row_int(payload[entry], scales, bits=None, where=repr(name)))


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
    payload: dict[str, Any] = {}
    for tensor in sorted(container.tensors, key=_place):
        if isinstance(tensor.quantizer, RowInt):
            entries = (f"{tensor.name}.q", f"{tensor.name}.scale")
            payload |= zip(entries, codes_and_scales(tensor), strict=True)
        else:
            payload[tensor.name] = plain_tensor(tensor)
    return encode_xz(write_archive({"payload": payload}), preset=PRESET)


def _place(tensor: StoredTensor) -> tuple[int, str]:
    parts = (place for place, part in enumerate(PARTS) if re.match(part, tensor.name))
    return next(parts, len(PARTS)), tensor.name
