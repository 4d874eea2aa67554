"""
Tables for people, JSON for programs, progress on stderr.

Only the modules of this folder print.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artpack.artifact.describe import Description, TensorRow
from artpack.artifact.header import Header
from artpack.artifact.verify import TensorError, Verification
from artpack.quantize.error_report import Report
from artpack.recipes.spec import PlanSpec
from artpack.stages.finite import without_nan

from .cells import (
    COLUMNS,
    REPORT_COLUMNS,
    TEXT_COLUMNS,
    other_cells,
    overhead_cells,
    report_cells,
    tensor_cells,
    total_cells,
)
from .flags import with_flags
from .markup import printable


def print_json(value: object) -> None:
    """Print JSON for programs."""
    click.echo(json.dumps(without_nan(value), indent=2, allow_nan=False))


def print_note(note: str) -> None:
    """Print what was decided on the way; on stderr, beside the result."""
    click.echo(f"note: {printable(with_flags(note))}", err=True)


def print_table(table: Table) -> None:
    """Print a table for people."""
    # A pipe has no width; a table must not be cut to fit the 80 that rich then assumes.
    console = Console()
    Console(width=console.width if console.is_terminal else 200).print(table)


def add_row(table: Table, cells: Iterable[str]) -> None:
    """Add a row of plain text."""
    # Names come from strangers' files: no markup in them is obeyed, no escape gets through.
    table.add_row(*(Text(printable(cell)) for cell in cells))


def inspect_json(description: Description, rows: Sequence[TensorRow], header: Header) -> None:
    """Print the description as JSON."""
    print_json(
        {
            "file_bytes": description.file_bytes,
            "weights": description.weights,
            "bits_per_weight": description.bits_per_weight,
            "overhead": description.overhead,
            "files": description.files,
            "tensors": [row_json(row, description) for row in rows],
            "model": header.model,
            "provenance": header.provenance,
        }
    )


def row_json(row: TensorRow, description: Description) -> dict[str, Any]:
    """Return a tensor's row as JSON has it."""
    return {
        "name": row.name,
        "shape": list(row.shape),
        "weights": row.weights,
        "grid": row.grid,
        "pipelines": list(row.pipelines),
        "stored_bytes": row.stored_bytes,
        "bits_per_weight": row.bits_per_weight,
        "entropy_bits_per_weight": row.entropy_bits_per_weight,
        "gap": row.gap,
        "share": row.stored_bytes / description.file_bytes,
        "histogram": list(row.histogram),
        "report": None if row.report is None else _report_json(row.report),
    }


def _report_json(report: Report) -> dict[str, Any]:
    return {name: value for name, value in asdict(report).items() if name != "notes"}


def inspect_table(description: Description, rows: Sequence[TensorRow], *, markdown: bool) -> None:
    """Print the description as a table whose bytes add up to the file."""
    lines = [tensor_cells(row, description) for row in rows]
    hidden = sum(row.stored_bytes for row in description.tensors) - sum(
        row.stored_bytes for row in rows
    )
    if hidden:
        lines.append(other_cells("tensors not shown", hidden, description))
    lines += overhead_cells(description)
    lines.append(total_cells(description))
    _columns(COLUMNS, lines, markdown=markdown)
    reports = [report_cells(row.name, row.report) for row in rows if row.report is not None]
    if reports:
        click.echo()
        _columns(REPORT_COLUMNS, reports, markdown=markdown)


def _columns(columns: Sequence[str], lines: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """Print lines of cells under their headings."""
    if markdown:
        click.echo(_markdown(columns, lines))
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in TEXT_COLUMNS else "right")
    for line in lines:
        add_row(table, line)
    print_table(table)


def _markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = [":--" if column in TEXT_COLUMNS else "--:" for column in columns]
    escaped = [[printable(cell).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, rule, *escaped])


def verification(path: Path, result: Verification, *, as_json: bool) -> None:
    """Print what verify found."""
    if as_json:
        print_json(
            {
                "artifact": str(path),
                "sound": not result.faults,
                "checked": result.checked,
                "faults": list(result.faults),
                "errors": [vars(error) for error in result.errors],
                "left_out": list(result.left_out),
            }
        )
        return
    if result.errors:
        print_table(_error_table(result.errors))
    if result.left_out:
        click.echo(printable(f"note: left out: {', '.join(result.left_out)}"), err=True)
    for fault in result.faults:
        click.echo(f"artpack: {path}: {printable(fault)}", err=True)
    if not result.faults:
        click.echo(f"{path}: sound, {result.checked} checks passed")


def _error_table(errors: Sequence[TensorError]) -> Table:
    table = Table("tensor", box=None, pad_edge=False)
    table.add_column("relative error", justify="right")
    table.add_column("largest error", justify="right")
    for error in errors:
        add_row(table, (error.name, f"{error.relative:.3e}", f"{error.largest:.3e}"))
    return table


def unpacked(path: Path, tensors: int, size: int) -> None:
    """Say where the weights went."""
    click.echo(f"{path}: {tensors} tensors, {size:,} bytes")


def written(path: Path) -> None:
    """Say where a report went."""
    click.echo(f"{path}: written")


def recipes(specs: Sequence[PlanSpec], *, as_json: bool) -> None:
    """Print the recipes."""
    if as_json:
        print_json([{"about": spec.about, **spec.to_json()} for spec in specs])
        return
    table = Table("recipe", "what it does", box=None, pad_edge=False)
    for spec in specs:
        add_row(table, (spec.name, spec.about))
    print_table(table)


def recipe(spec: PlanSpec, text: str, *, as_json: bool) -> None:
    """Print one recipe: its file as it is, or what it says as data."""
    if as_json:
        print_json({"about": spec.about, **spec.to_json()})
        return
    click.echo(text.rstrip())
