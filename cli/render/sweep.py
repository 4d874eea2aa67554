"""The output of ``artpack sweep``: a line for each file, and a table of all."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import artpack

from .plot import draw_curves
from .tables import print_table, show

COLUMNS = {
    "recipe": "recipe",
    "bytes": "bytes",
    "kl_nats": "KL, nats",
    "kl_stderr": "±",
    "bpb_increase": "bits per byte",
    "bpb_stderr": "±",
    "seconds": "s",
}


def made(point: "artpack.CurvePoint") -> None:
    """Say that a file was made; on stderr, for a sweep takes long."""
    click.echo(f"{point.recipe}: {point.bytes:,} bytes, KL {point.kl_nats:.6f}", err=True)


def report(curve: "artpack.Curve", *, as_json: bool) -> None:
    """Print all files, the smallest first."""
    rows = [asdict(point) for point in curve.points]
    show({"files": rows, "notes": curve.notes}, (), as_json=as_json)
    if as_json:
        return
    keys = [key for key in COLUMNS if any(row[key] is not None for row in rows)]
    rows.sort(key=lambda row: int(row["bytes"]))
    cells = ([_cell(key, row[key]) for key in keys] for row in rows)
    print_table([COLUMNS[key] for key in keys], cells, text=("recipe",))


def draw(path: Path, curve: "artpack.Curve") -> None:
    """Draw bytes against loss, a curve for each recipe."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in curve.points:
        curves.setdefault(point.recipe, []).append((point.bytes, point.kl_nats))
    draw_curves(path, curves, x_label="bytes", y_label="KL, nats per token", logarithmic=True)


def page(path: Path, title: str, curve: "artpack.Curve") -> None:
    """Write the curve and the files as a page."""
    from artpack.system.atomic import write_atomically

    from ..page.sweep import sweep_page

    write_atomically(path, [sweep_page(title, curve).encode()])


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "bytes":
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.1f}" if key == "seconds" else f"{value:.5f}"
    return str(value)
