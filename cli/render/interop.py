"""What import and export did, for people and for programs."""

from collections.abc import Mapping
from typing import Any

import click

from .markup import printable
from .tables import print_json, print_note


def import_summary(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what import did."""
    if as_json:
        print_json(summary)
        return
    for note in summary["notes"]:
        print_note(note)
    saved = summary["bytes_saved"]
    share = abs(saved) / summary["bytes_in"]
    click.echo(
        f"{printable(summary['artifact'])}: {summary['bytes_in']:,} ->"
        f" {summary['bytes_out']:,} bytes, {abs(saved):,} {'more' if saved < 0 else 'saved'}"
        f" ({share:.2%}); {summary['tensors']} tensors out of {summary['format']}"
        f" ({summary['system']}), the same integers, {summary['seconds']:.1f} s"
    )


def export_summary(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what export did."""
    if as_json:
        print_json(summary)
        return
    click.echo(
        f"{printable(summary['file'])}: {summary['bytes_out']:,} bytes,"
        f" {summary['tensors']} tensors in {summary['format']} ({summary['system']}),"
        f" the same integers as in {summary['bytes_in']:,} bytes"
    )
