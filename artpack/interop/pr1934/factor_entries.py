"""
The low-rank correction of a tensor by PR 1934's exporter.

Two int8 matrices and their fp16 scales. With the suffix ``_a`` the left matrix has one
scale and the right one a scale for each group of elements; without it, both have a
scale for each row.

Source: parameter-golf pull request 1934.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from artpack.errors import CorruptError, UsageError
from artpack.interop.fields import as_tensor, pop
from artpack.quantize import LowRank, RowInt
from artpack.quantize.grids.factors import (
    LEFT_LEVELS,
    RIGHT_LEVELS,
    Factors,
    GroupFactors,
    RowFactors,
)
from artpack.quantize.parts import join_bytes, split_bytes
from artpack.stages.symbols import Quantized, Symbols

PARTS = ("left", "left_scales", "right", "right_scales")
SUFFIXES = {"+lqer_asym": ("A_a", "As_a", "B_a", "Bs_a"), "+lqer": ("A", "As", "B", "Bs")}
"""End of the meta to ends of the entries' names, in the order of ``PARTS``."""


def read_factors(
    name: str, kind: str, inner: tuple[RowInt, Quantized], entries: dict[str, Any]
) -> tuple[LowRank, Quantized]:
    """
    Add the correction to a tensor.

    Args:
        name: The tensor's name.
        kind: One of ``SUFFIXES``.
        inner: The grid that is corrected, and its symbols.
        entries: Suffixed name to tensor; the four are taken out.

    Returns:
        The grid with its correction, and the symbols of both.

    Raises:
        CorruptError: An entry is missing, or they do not fit the tensor.

    """
    where = f"{name!r}: the low-rank factors"
    grid, quantized = inner
    found = {
        part: as_tensor(
            pop(entries, f"{name}.lq{suffix}", "the container"),
            where,
            torch.float16 if part.endswith("scales") else torch.int8,
        )
        for part, suffix in zip(PARTS, SUFFIXES[kind], strict=True)
    }
    rank = _check_geometry(found, quantized.parts["codes"].shape, where)
    factors = (_groups if kind == "+lqer_asym" else _rows)(found, where)
    (low, high), (right_low, right_high) = _levels(factors)
    parts = {
        **quantized.parts,
        "left": _shift(found["left"], low, high, where),
        "right": _shift(found["right"], right_low, right_high, where),
        **split_bytes("left_scales", found["left_scales"]),
        **split_bytes("right_scales", found["right_scales"]),
    }
    return LowRank(grid, rank, factors), Quantized(quantized.shape, parts)


def write_factors(name: str, grid: LowRank, quantized: Quantized) -> tuple[str, dict[str, Tensor]]:
    """
    Undo :func:`read_factors`.

    Args:
        name: The tensor's name.
        grid: The grid with its correction.
        quantized: The symbols of both.

    Returns:
        The end of the meta, and the four entries.

    Raises:
        UsageError: The factors are stored in a way that the exporter does not know.

    """
    factors, parts = grid.factors, quantized.parts
    if not isinstance(factors, GroupFactors | RowFactors):
        raise UsageError(f"{name!r}: the format has no place for such low-rank factors")
    kind = "+lqer_asym" if isinstance(factors, GroupFactors) else "+lqer"
    if isinstance(factors, GroupFactors) and parts["right"].size % factors.group:
        raise UsageError(
            f"{name!r}: the format has no place for a group of low-rank factors that is not"
            f" full: choose a group that divides {parts['right'].size}"
        )
    (left_low, _), (right_low, _) = _levels(factors)
    left_scales = join_bytes("left_scales", parts, torch.float16)
    entries = {
        "left": _unshift(parts["left"], left_low),
        "left_scales": left_scales.reshape(()) if kind == "+lqer_asym" else left_scales,
        "right": _unshift(parts["right"], right_low),
        "right_scales": join_bytes("right_scales", parts, torch.float16),
    }
    suffixes = dict(zip(PARTS, SUFFIXES[kind], strict=True))
    return kind, {f"{name}.lq{suffixes[part]}": entry for part, entry in entries.items()}


def _check_geometry(found: dict[str, Tensor], shape: tuple[int, ...], where: str) -> int:
    """Return the rank of two matrices that fit the tensor."""
    rows, cols = shape
    rank = found["left"].shape[-1] if found["left"].dim() == 2 else 0
    if not 1 <= rank <= min(rows, cols, 256):
        raise CorruptError(f"{where} have the rank {rank}")
    if found["left"].shape != (rows, rank) or found["right"].shape != (rank, cols):
        raise CorruptError(f"{where} do not fit a matrix of {rows} times {cols}")
    return rank


def _groups(found: dict[str, Tensor], where: str) -> GroupFactors:
    codes, groups = found["right"].numel(), max(1, found["right_scales"].numel())
    if found["left_scales"].numel() != 1 or codes % groups or codes // groups > 1 << 16:
        raise CorruptError(f"{where} have {groups} scales for {codes} codes")
    return GroupFactors(codes // groups)


def _rows(found: dict[str, Tensor], where: str) -> RowFactors:
    for side in ("left", "right"):
        if found[f"{side}_scales"].numel() != len(found[side]):
            raise CorruptError(f"{where} need a scale for each row")
    largest = max(int(found[side].int().abs().max()) for side in ("left", "right"))
    return RowFactors(next((bits for bits in range(2, 8) if largest < 1 << (bits - 1)), 8))


def _levels(factors: Factors) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the lowest and the highest code of either side."""
    if isinstance(factors, RowFactors):
        return ((-factors.radius, factors.radius),) * 2
    return LEFT_LEVELS, RIGHT_LEVELS


def _shift(codes: Tensor, low: int, high: int, where: str) -> Symbols:
    wide = codes.numpy().astype(np.int16)
    if wide.min() < low or wide.max() > high:
        raise CorruptError(f"{where} have a code outside of {low} to {high}")
    return (wide - low).astype(np.uint8)


def _unshift(symbols: Symbols, low: int) -> Tensor:
    return torch.from_numpy((symbols.astype(np.int16) + low).astype(np.int8))
