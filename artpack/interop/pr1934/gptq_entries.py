"""
Tensors by PR 1934's exporter: entries under suffixed names, and a line of meta for each.

======================  ====================================================================
meta                    entries
======================  ====================================================================
``passthrough ...``     the name itself: fp16, or whatever the tensor was
``gptq (int6)``         ``.q`` int8, ``.scale`` fp16, one a row
``... +lqer[_asym]``    besides these, a low-rank correction: see ``factor_entries``
``gate_int8_row``       ``.gq`` int8, ``.gs`` fp16, one a row
======================  ====================================================================

Source: parameter-golf pull request 1934.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from artpack.errors import CorruptError
from artpack.interop.codes import codes_and_scales, plain, plain_tensor, row_int
from artpack.interop.container import StoredTensor
from artpack.interop.fields import check_empty, pop, shown
from artpack.interop.pr1934.factor_entries import read_factors, write_factors
from artpack.quantize import LowRank, RowInt

PASSTHROUGH = "passthrough (float16)"
GATE = "gate_int8_row"

_GPTQ = re.compile(r"gptq \(int([2-8])\)(\+lqer_asym|\+lqer|)")
_GATE_NAME = ".attn_gate_w"


def read_entries(entries: dict[str, Any], meta: Mapping[str, Any]) -> tuple[StoredTensor, ...]:
    """
    Put tensors together from their entries.

    Args:
        entries: Suffixed name to tensor; taken apart here.
        meta: Name to its line.

    Returns:
        The tensors, in the order of the meta. In the system's own model the embedding
        is bf16 and everything else fp32.

    Raises:
        CorruptError: An entry is missing, is of the wrong kind, or belongs to nothing.

    """
    tensors = tuple(_read(name, line, entries) for name, line in meta.items())
    check_empty(entries, "the container")
    return tensors


def _read(name: str, line: object, entries: dict[str, Any]) -> StoredTensor:
    dtype, where = "bfloat16" if name == "tok_emb.weight" else "float32", repr(name)
    if not isinstance(line, str):
        raise CorruptError(f"{where}: its meta is no text")
    if line.startswith("passthrough"):
        return plain(name, pop(entries, name, "the container"), dtype)
    found = _GPTQ.fullmatch(line)
    if found is None and line != GATE:
        raise CorruptError(f"{where}: unknown meta {shown(line)}")
    suffixes = (".q", ".scale") if found else (".gq", ".gs")
    codes, scales = (pop(entries, name + suffix, "the container") for suffix in suffixes)
    bits = int(found[1]) if found else 8
    stored = row_int(codes, scales, bits=bits, where=where)
    if found and found[2]:
        return StoredTensor(name, dtype, *read_factors(name, found[2], stored, entries))
    return StoredTensor(name, dtype, *stored)


def write_entries(tensors: Iterable[StoredTensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """
    Take tensors apart.

    Args:
        tensors: Whole numbers with a scale a row, corrected or not, and plain tensors.

    Returns:
        Entries and meta as the exporter makes them, in the order of the tensors; the entries
        of corrections, which it finds when all else is done, come last.

    Raises:
        UsageError: A tensor is in a grid that the exporter does not know.

    """
    entries: dict[str, Tensor] = {}
    corrections: dict[str, Tensor] = {}
    meta: dict[str, str] = {}
    for tensor in tensors:
        more, meta[tensor.name] = _write(tensor)
        entries |= more
        if isinstance(tensor.quantizer, LowRank):
            kind, factors = write_factors(tensor.name, tensor.quantizer, tensor.quantized)
            meta[tensor.name] += kind
            corrections |= factors
    return entries | corrections, meta


def _write(tensor: StoredTensor) -> tuple[dict[str, Tensor], str]:
    """Return entries and meta without a correction."""
    name, grid = tensor.name, tensor.quantizer
    inner = grid.inner if isinstance(grid, LowRank) else grid
    if not isinstance(inner, RowInt):
        return {name: plain_tensor(tensor)}, PASSTHROUGH
    codes, scales = codes_and_scales(tensor)
    if inner.bits == 8 and name.endswith(_GATE_NAME) and inner is grid:
        return {f"{name}.gq": codes, f"{name}.gs": scales}, GATE
    return {f"{name}.q": codes, f"{name}.scale": scales}, f"gptq (int{inner.bits})"
