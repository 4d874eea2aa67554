"""The output of the demo: its commands, and the table in which they end."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from .estimate import estimate
from .tables import print_json, print_table

COLUMNS = (
    "recipe",
    "bytes",
    "bits per weight",
    "bits per byte",
    "increase",
    "learning",
    "checks",
    "audit",
)


def command(words: Sequence[str]) -> None:
    """Print a command as one would type it."""
    click.echo(f"$ artpack {shlex.join(words)}")


def report(rows: Sequence[Mapping[str, Any]], seconds: float, *, as_json: bool) -> None:
    """Print a row for the model as it is and for each artifact."""
    if as_json:
        print_json({"rows": list(rows), "seconds": round(seconds, 1)})
        return
    click.echo()
    print_table(COLUMNS, map(_cells, rows), text=COLUMNS[:1])
    click.echo(
        f"\nbits per byte of held-out text, ± the standard error over chapters; learning:"
        f" the same with test-time training, score first. {seconds:.0f} s"
    )


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    increase = row["increase"]
    return (
        row["name"],
        f"{row['bytes']:,}",
        f"{row['bits_per_weight']:.3f}" if "bits_per_weight" in row else "",
        estimate(row["bits_per_byte"], ".4f"),
        "" if increase is None else estimate(increase, "+.4f"),
        estimate(row["learning"], ".4f"),
        str(row.get("checks", "")),
        str(row.get("audit", "")),
    )
