"""What ``artpack sweep`` says: a line for each file, and a table of all."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.table import Table

from .markup import printable
from .tables import add_row, print_json, print_table

COLUMNS = {
    "recipe": "recipe",
    "bytes": "bytes",
    "kl_nats": "KL, nats",
    "kl_stderr": "±",
    "bpb_increase": "bits per byte",
    "bpb_stderr": "±",
    "seconds": "s",
}


def made(row: Mapping[str, Any]) -> None:
    """Say that a file was made; on stderr, for a sweep takes long."""
    click.echo(f"{row['recipe']}: {row['bytes']:,} bytes, KL {row['kl_nats']:.6f}", err=True)


def report(rows: Sequence[Mapping[str, Any]], notes: Sequence[str], *, as_json: bool) -> None:
    """Print all files, the smallest first."""
    if as_json:
        print_json({"files": list(rows), "notes": list(notes)})
        return
    for note in notes:
        click.echo(f"note: {printable(note)}", err=True)
    table = Table(box=None)
    shown = [key for key in COLUMNS if any(key in row for row in rows)]
    for key in shown:
        table.add_column(COLUMNS[key], justify="left" if key == "recipe" else "right")
    for row in sorted(rows, key=lambda row: int(row["bytes"])):
        add_row(table, [_cell(key, row.get(key)) for key in shown])
    print_table(table)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "bytes":
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.1f}" if key == "seconds" else f"{value:.5f}"
    return str(value)
