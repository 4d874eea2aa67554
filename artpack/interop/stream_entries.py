"""
Tensors by PR 2086's exporter: an entry of the metadata for each.

Entries are five-level codes in groups, fp8, or fp16.

Source: parameter-golf pull request 2086.
"""

from typing import Any

from artpack.errors import CorruptError, UsageError
from artpack.interop.archive import read_archive, write_archive
from artpack.interop.codes import plain, plain_tensor
from artpack.interop.container import StoredTensor
from artpack.interop.fields import as_dict, as_tensor, check_empty, pop
from artpack.interop.five_levels import RAW
from artpack.interop.level_entries import read_levels, write_levels
from artpack.interop.payloads import NewPayloads, Payloads
from artpack.quantize import GroupLevels
from artpack.quantize.floats import Fp8, Fp16

BULK_BYTES = 65536
"""Tensors from this size on go into payloads."""

PLAIN = {"fp8": Fp8.dtype, "fp16": Fp16.dtype}
DTYPE = "bfloat16"
"""What the system makes of everything that it loads."""


def read_entry(name: str, value: object, payloads: Payloads) -> StoredTensor:
    """
    Read a tensor.

    Args:
        name: Its name.
        value: Its entry.
        payloads: Where large values are.

    Returns:
        The tensor.

    Raises:
        ArtifactError: A field is missing or of the wrong kind, or codes do not decode.

    """
    where = repr(name)
    entry = as_dict(value, where).copy()
    kind = pop(entry, "type", where)
    if kind == "quinary":
        tensor = StoredTensor(name, DTYPE, *read_levels(entry, payloads, where))
    elif isinstance(kind, str) and kind in PLAIN:
        data = pop(entry, "data", where)
        if isinstance(data, dict):
            body, reference = payloads.take(data, where)
            if reference != {"layout": RAW}:
                raise CorruptError(f"{where}: the payload is no tensor")
            data = read_archive(body)
        tensor = plain(name, as_tensor(data, where, PLAIN[kind]), DTYPE)
    else:
        raise CorruptError(f"{where}: unknown type {kind!r:.40}")
    check_empty(entry, where)
    return tensor


def write_entry(tensor: StoredTensor, payloads: NewPayloads) -> dict[str, Any]:
    """
    Write a tensor.

    Args:
        tensor: In five-level groups, fp8 or fp16.
        payloads: Where to add what is large.

    Returns:
        Its entry.

    Raises:
        UsageError: It is in another grid.

    """
    grid = tensor.quantizer
    if isinstance(grid, GroupLevels):
        return write_levels(tensor, grid, payloads)
    if not isinstance(grid, Fp8 | Fp16):
        raise UsageError(
            f"{tensor.name!r}: the format has no place for {grid.label}: only for five levels"
            " in groups, fp8 and fp16"
        )
    data = plain_tensor(tensor)
    if data.nbytes < BULK_BYTES:
        return {"type": grid.label, "data": data}
    return {"type": grid.label, "data": payloads.add({RAW: write_archive(data)})[1]}
