"""The output of ``artpack verify``."""

from pathlib import Path

import click

import artpack

from .markup import printable
from .tables import print_json, print_lines, print_note, print_table


def report(path: Path, result: "artpack.Verification", *, as_json: bool) -> None:
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
        rows = [(one.name, f"{one.relative:.3e}", f"{one.largest:.3e}") for one in result.errors]
        print_table(("tensor", "relative error", "largest error"), rows, text=("tensor",))
    if result.left_out:
        print_note(f"left out: {', '.join(result.left_out)}")
    for fault in result.faults:
        click.echo(printable(f"artpack: {path}: {fault}"), err=True)
    if not result.faults:
        print_lines([f"{path}: sound, {result.checked} checks passed"])
