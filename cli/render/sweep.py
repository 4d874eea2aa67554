"""The output of ``artpack sweep``: a line for each file, and a table of all."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from artpack import Curve, CurvePoint

from .flags import with_flags
from .plot import draw_curves
from .tables import add_row, print_json, print_note, print_table

COLUMNS = {
    "recipe": "recipe",
    "bytes": "bytes",
    "kl_nats": "KL, nats",
    "kl_stderr": "±",
    "bpb_increase": "bits per byte",
    "bpb_stderr": "±",
    "seconds": "s",
}


def made(point: CurvePoint) -> None:
    """Say that a file was made; on stderr, for a sweep takes long."""
    click.echo(f"{point.recipe}: {point.bytes:,} bytes, KL {point.kl_nats:.6f}", err=True)


def report(curve: Curve, *, as_json: bool) -> None:
    """Print all files, the smallest first."""
    rows = [asdict(point) for point in curve.points]
    if as_json:
        print_json({"files": rows, "notes": list(map(with_flags, curve.notes))})
        return
    for note in curve.notes:
        print_note(note)
    table = Table(box=None)
    shown = [key for key in COLUMNS if any(row[key] is not None for row in rows)]
    for key in shown:
        table.add_column(COLUMNS[key], justify="left" if key == "recipe" else "right")
    for row in sorted(rows, key=lambda row: int(row["bytes"])):
        add_row(table, [_cell(key, row[key]) for key in shown])
    print_table(table)


def draw(path: Path, curve: Curve) -> None:
    """Draw bytes against loss, a curve for each recipe."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in curve.points:
        curves.setdefault(point.recipe, []).append((point.bytes, point.kl_nats))
    draw_curves(path, curves, x_label="bytes", y_label="KL, nats per token", logarithmic=True)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "bytes":
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.1f}" if key == "seconds" else f"{value:.5f}"
    return str(value)
