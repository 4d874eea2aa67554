"""
Tensors by PR 2086's exporter: an entry of the metadata for each.

Entries are five-level codes in groups, fp8, or fp16.

Source: parameter-golf pull request 2086.
"""

from typing import Any

from artpack.errors import CorruptError, UsageError
from artpack.interop.codes import plain, plain_tensor
from artpack.interop.container import StoredTensor
from artpack.interop.fields import as_dict, check_empty, pop, shown
from artpack.interop.pr2086.level_entries import read_levels, write_levels
from artpack.interop.pr2086.payloads import NewPayloads, Payloads, read_plain, write_plain
from artpack.quantize import GroupLevels
from artpack.quantize.grids.floats import Fp8, Fp16

PLAIN = {"fp8": Fp8().torch_dtype, "fp16": Fp16().torch_dtype}
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
        data = read_plain(pop(entry, "data", where), payloads, where, PLAIN[kind])
        tensor = plain(name, data, DTYPE)
    else:
        raise CorruptError(f"{where}: unknown type {shown(kind)}")
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
    return {"type": grid.label, "data": write_plain(plain_tensor(tensor), payloads)}
