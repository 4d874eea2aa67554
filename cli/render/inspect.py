"""The output of ``artpack inspect`` and ``artpack unpack``."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cells import (
    COLUMNS,
    REPORT_COLUMNS,
    TEXT_COLUMNS,
    other_cells,
    overhead_cells,
    report_cells,
    tensor_cells,
    total_cells,
    without_entropy,
)
from .markup import printable
from .tables import print_json, print_lines, print_note, print_table

if TYPE_CHECKING:
    from artpack.artifact.describe import Description, TensorRow
    from artpack.artifact.header import Header

SORTS: "dict[str, Callable[[TensorRow], float | str]]" = {
    "bytes": lambda row: -row.stored_bytes,
    "bits": lambda row: -row.bits_per_weight,
    "name": lambda row: row.name,
}


def as_json(description: "Description", rows: "Sequence[TensorRow]", header: "Header") -> None:
    """Print the description as JSON."""
    print_json(
        {
            "file_bytes": description.file_bytes,
            "weights": description.weights,
            "bits_per_weight": description.bits_per_weight,
            "overhead": description.overhead,
            "files": description.files,
            "shared_equally": description.shared_equally,
            "above_bound": description.above_bound,
            "tensors": [row_json(row, description) for row in rows],
            "model": header.model,
            "provenance": header.provenance,
        }
    )


def row_json(row: "TensorRow", description: "Description") -> dict[str, Any]:
    """Return a tensor's row as JSON has it."""
    report = None if row.report is None else asdict(row.report)
    if report is not None:
        del report["notes"]
    return {
        "name": row.name,
        "shape": list(row.shape),
        "weights": row.weights,
        "grid": row.grid,
        "pipelines": list(row.pipelines),
        "parts": [{"name": name, "pipeline": label} for name, label in row.parts],
        "stored_bytes": row.stored_bytes,
        "bits_per_weight": row.bits_per_weight,
        "entropy_bits_per_weight": row.entropy_bits_per_weight,
        "gap": row.gap,
        "share": row.stored_bytes / description.file_bytes,
        "histogram": None if row.entropy_bytes is None else list(row.histogram),
        "report": report,
    }


SHARED = (
    "a stream's bytes are shared equally by its weights: `entropy` decodes and tells them apart"
)


LEAST = (
    "tensors with `least bits` take {:.1%} more than what Gaussian weights need at their errors,"
    " by rate-distortion theory"
)


def as_table(
    description: "Description", rows: "Sequence[TensorRow]", *, markdown: bool = False
) -> None:
    """Print the description as a table whose bytes add up to the file."""
    columns: Sequence[str] = COLUMNS
    lines = [tensor_cells(row, description) for row in rows]
    hidden = sum(row.stored_bytes for row in description.tensors) - sum(
        row.stored_bytes for row in rows
    )
    if hidden:
        lines.append(other_cells("tensors not shown", hidden, description))
    lines += overhead_cells(description)
    lines.append(total_cells(description))
    if all(row.entropy_bytes is None for row in description.tensors):
        columns, lines = without_entropy(lines)
    _columns(columns, lines, markdown=markdown)
    if description.shared_equally:
        print_note(SHARED)
    reports = [report_cells(row, row.report) for row in rows if row.report is not None]
    if reports:
        click.echo()
        _columns(REPORT_COLUMNS, reports, markdown=markdown)
    if description.above_bound is not None:
        print_note(LEAST.format(description.above_bound))


def _columns(columns: Sequence[str], lines: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """Print lines of cells under their headings."""
    if not markdown:
        print_table(columns, lines, text=TEXT_COLUMNS)
        return
    rule = [":--" if column in TEXT_COLUMNS else "--:" for column in columns]
    escaped = [[printable(cell).replace("|", "\\|") for cell in line] for line in lines]
    click.echo("\n".join(f"| {' | '.join(line)} |" for line in [columns, rule, *escaped]))


def page(path: Path, title: str, description: "Description", header: "Header") -> None:
    """Write the description as a page, and say where it went."""
    from artpack.system.atomic import write_atomically

    from ..page.page import html_page

    write_atomically(path, [html_page(title, description, header).encode()])
    print_lines([f"{path}: written"])


def unpacked(path: Path, tensors: int, size: int) -> None:
    """Say where the weights went."""
    print_lines([f"{path}: {tensors} tensors, {size:,} bytes"])
