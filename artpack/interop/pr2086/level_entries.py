"""
Five-level tensors by PR 2086's exporter: fields of an entry, and payloads of codes.

Rows are filled up to whole groups. The codes of a fused projection lie in three
payloads: as many query rows as columns, the filled-up ones counted, and the rest halved
into keys and values.

Source: parameter-golf pull request 2086.
"""

from typing import Any

import numpy as np

from artpack.errors import CorruptError, UsageError
from artpack.interop.container import StoredTensor
from artpack.interop.fields import as_count, as_shape, check_empty, pop, same
from artpack.interop.pr2086.five_levels import LAYOUTS, ZERO, describe, lay_out, take_up
from artpack.interop.pr2086.payloads import NewPayloads, Payloads
from artpack.interop.pr2086.scale_deltas import read_scales, write_scales
from artpack.quantize import GroupLevels
from artpack.quantize.matrix_view import matrix_shape
from artpack.stages.symbols import Quantized, Symbols

SPLIT = "__QKV_SPLIT__"
SPLIT_NAME = "c_qkv.weight"
MAX_GROUP = 1 << 16


def read_levels(
    entry: dict[str, Any], payloads: Payloads, where: str
) -> tuple[GroupLevels, Quantized]:
    """
    Read a tensor.

    Args:
        entry: Its fields but for the type; taken apart here.
        payloads: Where its codes are.
        where: The tensor's name, for messages.

    Returns:
        Its grid and symbols.

    Raises:
        ArtifactError: A field is missing or contradicts another, or codes do not decode.

    """
    packed = pop(entry, "packed", where)
    matrix = as_shape(pop(entry, "shape", where), f"{where}: shape")
    shape = as_shape(pop(entry, "orig_shape", where), f"{where}: orig_shape")
    width = as_count(pop(entry, "padded_cols", where), f"{where}: padded_cols")
    group = as_count(pop(entry, "group_size", where), f"{where}: group_size", most=MAX_GROUP)
    if matrix != matrix_shape(shape) or not group or width != -(-matrix[1] // group) * group:
        raise CorruptError(f"{where}: shape, orig_shape, padded_cols and group_size do not agree")
    rows, cols = matrix
    if not same(pop(entry, "n_quins", where), rows * width):
        raise CorruptError(f"{where}: there must be {rows * width} codes")
    symbols = _read_codes(packed, (rows, width), payloads, where)
    if (symbols[:, cols:] != ZERO).any():
        raise CorruptError(f"{where}: the codes that fill up the last group are not zero")
    scales, scale_parts = read_scales(entry, (rows, width // group), payloads, where)
    parts = {"codes": np.ascontiguousarray(symbols[:, :cols]), **scale_parts}
    return GroupLevels(2, group, scales), Quantized(shape, parts)


def _read_codes(packed: object, shape: tuple[int, int], payloads: Payloads, where: str) -> Symbols:
    """Return the symbols of one payload, or those of queries, keys and values together."""
    match packed:
        case (str(mark), list(pieces)) if mark == SPLIT and pieces:
            pass
        case _:
            pieces = [packed]
    found = np.concatenate([_read_piece(piece, shape, payloads, where) for piece in pieces])
    if found.shape != shape:
        raise CorruptError(f"{where}: the payloads hold {len(found)} rows, not {shape[0]}")
    return found


def _read_piece(piece: object, shape: tuple[int, int], payloads: Payloads, where: str) -> Symbols:
    payload, reference = payloads.take(piece, where)
    rows = as_count(pop(reference, "rows", where), f"{where}: rows", most=shape[0])
    if not same(pop(reference, "cols", where), shape[1]):
        raise CorruptError(f"{where}: a payload does not have {shape[1]} columns")
    layout = pop(reference, "layout", where)
    symbols = take_up(payload, layout, (rows, shape[1]))
    if not same(pop(reference, "meta", where), describe(symbols, layout)):
        raise CorruptError(f"{where}: what is noted beside a payload is wrong")
    check_empty(reference, where)
    return symbols


def write_levels(tensor: StoredTensor, grid: GroupLevels, payloads: NewPayloads) -> dict[str, Any]:
    """
    Write a tensor.

    Args:
        tensor: The tensor.
        grid: Its grid.
        payloads: Where to add its codes.

    Returns:
        Its entry.

    Raises:
        UsageError: The grid does not have five levels.

    """
    if grid.radius != ZERO:
        raise UsageError(f"{tensor.name!r}: the format has five levels, not three")
    codes = tensor.quantized.parts["codes"]
    rows, cols = codes.shape
    padding = -cols % grid.group
    symbols = np.pad(codes, ((0, 0), (0, padding)), constant_values=ZERO)
    return {
        "type": "quinary",
        "packed": _write_codes(tensor.name, symbols, payloads),
        "shape": [rows, cols],
        "padded_cols": cols + padding,
        "group_size": grid.group,
        "n_quins": symbols.size,
        "orig_shape": list(tensor.quantized.shape),
        **write_scales(grid.scales, tensor.quantized, payloads),
    }


def _write_codes(name: str, symbols: Symbols, payloads: NewPayloads) -> Any:
    queries = symbols.shape[1]
    half = (len(symbols) - queries) // 2
    if name.endswith(SPLIT_NAME) and half > 0 and len(symbols) == queries + 2 * half:
        pieces = np.split(symbols, [queries, queries + half])
        return (SPLIT, [_write_piece(piece, payloads) for piece in pieces])
    return _write_piece(symbols, payloads)


def _write_piece(symbols: Symbols, payloads: NewPayloads) -> dict[str, Any]:
    rows, cols = symbols.shape
    layout, reference = payloads.add({layout: lay_out(symbols, layout) for layout in LAYOUTS})
    return reference | {"rows": rows, "cols": cols, "meta": describe(symbols, layout)}
