"""The output of import and export, for people and for programs."""

from pathlib import Path

import click

from artpack import ExportResult, ImportResult

from .flags import with_flags
from .markup import printable
from .tables import print_json, print_note


def imported(
    result: ImportResult, file: Path, artifact: Path, *, seconds: float, as_json: bool
) -> None:
    """Print what import did."""
    saved = result.source_bytes - result.size_bytes
    if as_json:
        print_json(
            {
                "file": str(file),
                "artifact": str(artifact),
                "format": result.format,
                "system": result.system,
                "sha256": result.sha256,
                "notes": list(map(with_flags, result.notes)),
                "tensors": result.tensors,
                "bytes_in": result.source_bytes,
                "bytes_out": result.size_bytes,
                "bytes_saved": saved,
                "seconds": seconds,
            }
        )
        return
    for note in result.notes:
        print_note(note)
    share = abs(saved) / result.source_bytes
    click.echo(
        f"{printable(str(artifact))}: {result.source_bytes:,} -> {result.size_bytes:,} bytes,"
        f" {abs(saved):,} {'more' if saved < 0 else 'saved'} ({share:.2%});"
        f" {result.tensors} tensors out of {result.format} ({result.system}),"
        f" the same integers, {seconds:.1f} s"
    )


def exported(result: ExportResult, artifact: Path, file: Path, *, as_json: bool) -> None:
    """Print what export did."""
    if as_json:
        print_json(
            {
                "artifact": str(artifact),
                "file": str(file),
                "format": result.format,
                "system": result.system,
                "tensors": result.tensors,
                "bytes_in": result.source_bytes,
                "bytes_out": result.size_bytes,
            }
        )
        return
    click.echo(
        f"{printable(str(file))}: {result.size_bytes:,} bytes,"
        f" {result.tensors} tensors in {result.format} ({result.system}),"
        f" the same integers as in {result.source_bytes:,} bytes"
    )
