"""
The container of PR 826: xz, zstd or zlib around ``torch.save`` of ``{"payload": entries}``.

A tensor is either one entry under its own name, or int8 codes under ``.q`` and one fp16
scale a row under ``.scale``. There is no meta: what a tensor is follows from the names.
Entries are sorted by the part of the model that they belong to, then by name.

Source: parameter-golf pull request 826.
"""

import re
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from itertools import groupby
from typing import Any

from artpack.errors import CorruptError
from artpack.interop.archive import write_archive
from artpack.interop.codes import codes_and_scales, plain, plain_tensor, row_int
from artpack.interop.container import Container, StoredTensor
from artpack.interop.wrapping import ZLIB_MAGICS, ZSTD_MAGIC, encode_xz, encode_zstd
from artpack.quantize import RowInt

NAME = "torch-lzma"
PRESET = 6
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    NAME: partial(encode_xz, preset=PRESET),
    "payload-zstd": encode_zstd,
    "payload-zlib": partial(zlib.compress, level=9),
}
"""Names of the three forms, the published one first."""

BF16 = {"tok_emb.weight", "bigram.embed.weight", "ve_shared.embed.weight"}
"""What the system's own model holds as bf16; everything else is fp32."""

PARTS = (r"(tok_emb|lm_head|bigram|smear)\.", r"skip_", r"upper_blocks\.", r"ve_")
"""Parts of the model, in the order of the entries; what is in none of them comes last."""


def form_of(data: bytes) -> str:
    """
    Tell the form of a container.

    Args:
        data: The whole file.

    Returns:
        A key of :data:`PACKERS`.

    """
    if data.startswith(ZSTD_MAGIC):
        return "payload-zstd"
    return "payload-zlib" if data.startswith(ZLIB_MAGICS) else NAME


def read(payload: dict[str, Any], form: str = NAME) -> Container:
    """
    Read the content of a container.

    Args:
        payload: Entry to tensor.
        form: What it was wrapped in, a key of :data:`PACKERS`.

    Returns:
        Its tensors, in the order of the entries.

    Raises:
        CorruptError: An entry is of the wrong kind, has codes without scales, or is there twice.

    """
    names = [name for name in payload if not _is_scale(name, payload)]
    if twice := [name for name in names if f"{name}.q" in payload]:
        raise CorruptError(f"{min(twice)!r} is there twice")
    return Container(form, tuple(_read(name, payload) for name in names))


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


def write(container: Container, form: str = NAME) -> bytes:
    """
    Write a container.

    Args:
        container: Whole numbers with a scale a row, and plain tensors.
        form: A key of :data:`PACKERS`.

    Returns:
        The whole file.

    Raises:
        UsageError: A tensor is in another grid.

    """
    return _packed(sorted(container.tensors, key=_place), form)


def part_bytes(container: Container, form: str = NAME) -> dict[str, int]:
    """
    Say how large each part of the model is when it is packed by itself.

    Their sum is what PR 826 takes for the size of a file when it decides whether codes
    have to be zeroed.

    Args:
        container: As :func:`write` takes it.
        form: A key of :data:`PACKERS`.

    Returns:
        Expression of :data:`PARTS`, or an empty one for the rest, to bytes.

    Raises:
        UsageError: A tensor is in another grid.

    """
    tensors = sorted(container.tensors, key=_place)
    grouped = groupby(tensors, key=lambda tensor: _place(tensor)[0])
    return {(*PARTS, "")[part]: len(_packed(held, form)) for part, held in grouped}


def _packed(tensors: Iterable[StoredTensor], form: str) -> bytes:
    payload: dict[str, Any] = {}
    for tensor in tensors:
        if isinstance(tensor.quantizer, RowInt):
            entries = (f"{tensor.name}.q", f"{tensor.name}.scale")
            payload |= zip(entries, codes_and_scales(tensor), strict=True)
        else:
            payload[tensor.name] = plain_tensor(tensor)
    return PACKERS[form](write_archive({"payload": payload}))


def _place(tensor: StoredTensor) -> tuple[int, str]:
    parts = (place for place, part in enumerate(PARTS) if re.match(part, tensor.name))
    return next(parts, len(PARTS)), tensor.name
