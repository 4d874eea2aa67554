"""Tables for people, JSON for programs, notes on stderr; only the modules of this folder print."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from .flags import with_flags
from .markup import printable


def show(found: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """
    Print what a command found.

    Args:
        found: For programs, printed as JSON; its ``notes``, if it has any, for people too.
        lines: For people.
        as_json: For whom.

    """
    notes = found.get("notes", ())
    if as_json:
        print_json({**found, "notes": list(map(with_flags, notes))} if "notes" in found else found)
        return
    for note in notes:
        print_note(note)
    print_lines(lines)


def print_json(value: object) -> None:
    """Print JSON for programs."""
    from artpack.stages.finite import without_nan

    click.echo(json.dumps(without_nan(value), indent=2, allow_nan=False))


def print_note(note: str) -> None:
    """Print what was decided on the way; on stderr, beside the result."""
    click.echo(f"note: {printable(with_flags(note))}", err=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of text, whatever names are in them."""
    for line in lines:
        click.echo(printable(line))


def aligned(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield names and values as lines, the values below each other."""
    width = max(len(name) for name, _ in rows)
    return (f"{name:<{width}}  {value}" for name, value in rows)


def print_table(
    columns: Sequence[str], rows: Iterable[Iterable[str]], *, text: Collection[str]
) -> None:
    """
    Print a table for people.

    Args:
        columns: Its headings.
        rows: Their cells.
        text: Columns that start at the left; all others are numbers and end at the right.

    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in text else "right")
    for row in rows:
        # Names come from strangers' files: no markup in them is obeyed, no escape gets through.
        table.add_row(*(Text(printable(cell)) for cell in row))
    # A pipe has no width; a table must not be cut to fit the 80 that rich then assumes.
    console = Console()
    Console(width=console.width if console.is_terminal else 200).print(table)
