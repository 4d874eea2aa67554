"""Lookups of rows in tables, found in the calls that a model makes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_ARGUMENTS: Mapping[Callable[..., Tensor], tuple[str, str, tuple[str, ...]]] = {
    F.embedding: ("weight", "input", ("input", "weight")),
    torch.embedding: ("weight", "indices", ("weight", "indices")),
    Tensor.__getitem__: ("table", "rows", ("table", "rows")),
    torch.index_select: ("input", "index", ("input", "dim", "index")),
    Tensor.index_select: ("self", "index", ("self", "dim", "index")),
}
"""By function: its names for the table, for the rows, and for its first arguments in order."""


def find_lookup(
    func: Any, args: Sequence[Any], options: Mapping[str, Any]
) -> tuple[Tensor, Tensor] | None:
    """
    Find which rows of which table a call gives out.

    Args:
        func: What is called.
        args: Its arguments.
        options: Those that are given by name.

    Returns:
        The table (rows, cols) and integers, any shape; None if it looks up no rows.

    """
    if func not in _ARGUMENTS:
        return None
    table_name, rows_name, names = _ARGUMENTS[func]
    named = {**dict(zip(names, args, strict=False)), **options}
    table, rows = named[table_name], named[rows_name]
    if table.ndim != 2 or named.get("dim", 0) != 0 or not isinstance(rows, Tensor):
        return None
    return (table, rows) if rows.dtype in {torch.int32, torch.int64} else None
