"""The output of ``artpack compare``."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING

import click

import artpack

from .estimate import estimate
from .tables import print_json, print_lines, print_note, print_table
from .words import grid_words

if TYPE_CHECKING:
    from artpack.api.compare import ComparedFile, ComparedRow
    from artpack.evaluation.scoring.estimate import Estimate

FILE_COLUMNS = (
    "",
    "file",
    "bytes",
    "bits",
    "error",
    "bits per byte",
    "increase",
    "KL, nats per token",
)
ALWAYS = 5
"""So many columns need no tokens."""


def report(result: "artpack.CompareResult", *, by_tensor: bool, as_json: bool) -> None:
    """Print files, and roles or tensors."""
    if as_json:
        print_json(result.to_json())
        return
    for note in result.notes:
        print_note(note)
    columns, cells = file_table(result)
    print_table(columns, cells, text=("", "file"))
    click.echo()
    columns = row_columns(result, by_tensor=by_tensor)
    rows = result.tensors if by_tensor else result.roles
    lines = [*map(row_cells, rows), *rest_cells(result, by_tensor=by_tensor)]
    print_table(columns, lines, text=text_columns(columns))
    print_lines(["", f"errors and losses are against {result.reference}"])


def letters(result: "artpack.CompareResult") -> Sequence[str]:
    """Return a short name for each file."""
    count = len(result.files)
    return ascii_uppercase[:count] if count <= len(ascii_uppercase) else [*map(str, range(count))]


def file_table(result: "artpack.CompareResult") -> tuple[Sequence[str], list[list[str]]]:
    """Write columns and cells of the files, scores only where there are any."""
    scored = any(one.score is not None for one in result.files)
    shown = len(FILE_COLUMNS) if scored else ALWAYS
    cells = [
        [letter, *_file_cells(one)][:shown]
        for letter, one in zip(letters(result), result.files, strict=True)
    ]
    return FILE_COLUMNS[:shown], cells


def _file_cells(one: "ComparedFile") -> list[str]:
    score, beside = one.score, one.comparison
    return [
        one.name,
        f"{one.file_bytes:,}",
        f"{one.bits_per_weight:.3f}",
        _error(one.error),
        _estimate(None if score is None else score.bits_per_byte, ".5f"),
        _estimate(None if beside is None else beside.bits_per_byte_increase, "+.5f"),
        _estimate(None if beside is None else beside.kl_nats, ".5f"),
    ]


def _estimate(number: "Estimate | None", style: str) -> str:
    return "" if number is None else estimate(asdict(number), style)


def row_columns(result: "artpack.CompareResult", *, by_tensor: bool) -> list[str]:
    """Name the columns of roles or tensors: a few for each file."""
    kinds = ("grid", "bytes", "bits", "error") if by_tensor else ("bytes", "bits", "error")
    names = [f"{letter} {kind}" for kind in kinds for letter in letters(result)]
    return ["tensor" if by_tensor else "role", "weights", *names]


def text_columns(columns: Sequence[str]) -> set[str]:
    """Return those of the columns that hold text."""
    return {name for name in columns if name in ("tensor", "role") or name.endswith(" grid")}


def row_cells(row: "ComparedRow") -> list[str]:
    """Write the cells of a role or a tensor."""
    return [
        row.name,
        f"{row.weights:,}",
        *("" if grid is None else grid_words(grid) for grid in row.grids),
        *("" if size is None else f"{size:,}" for size in row.bytes),
        *("" if bits is None else f"{bits:.3f}" for bits in row.bits_per_weight),
        *map(_error, row.errors),
    ]


def rest_cells(result: "artpack.CompareResult", *, by_tensor: bool) -> Iterator[list[str]]:
    """Write what belongs to no tensor, and the whole files."""
    blank = [""] * len(result.files)
    grids = blank if by_tensor else []
    other = [f"{one.other_bytes:,}" for one in result.files]
    yield ["everything else", "", *grids, *other, *blank, *blank]
    sizes = [f"{one.file_bytes:,}" for one in result.files]
    bits = [f"{one.bits_per_weight:.3f}" for one in result.files]
    weights = f"{max(one.weights for one in result.files):,}"
    yield ["total", weights, *grids, *sizes, *bits, *(_error(one.error) for one in result.files)]


def _error(error: float | None) -> str:
    return "" if error is None else f"{error:.2e}" if error else "0"


def page(path: Path, result: "artpack.CompareResult") -> None:
    """Write the comparison as a page."""
    from artpack.system.atomic import write_atomically

    from ..page.compare import compare_page

    write_atomically(path, [compare_page(result).encode()])
    click.echo(f"{path}: written", err=True)
