"""The output of import and export."""

from pathlib import Path
from typing import Any

import artpack

from .tables import show


def imported(
    result: "artpack.ImportResult", file: Path, artifact: Path, *, seconds: float, as_json: bool
) -> None:
    """Print what import did."""
    saved = result.source_bytes - result.size_bytes
    found = {
        "file": str(file),
        "artifact": str(artifact),
        **_container(result),
        "sha256": result.sha256,
        "notes": result.notes,
        "bytes_saved": saved,
        "seconds": seconds,
    }
    share = abs(saved) / result.source_bytes
    line = (
        f"{artifact}: {result.source_bytes:,} -> {result.size_bytes:,} bytes,"
        f" {abs(saved):,} {'more' if saved < 0 else 'saved'} ({share:.2%});"
        f" {result.tensors} tensors out of {result.format} ({result.system}),"
        f" the same integers, {seconds:.1f} s"
    )
    show(found, [line], as_json=as_json)


def exported(result: "artpack.ExportResult", artifact: Path, file: Path, *, as_json: bool) -> None:
    """Print what export did."""
    found = {"artifact": str(artifact), "file": str(file), **_container(result)}
    line = (
        f"{file}: {result.size_bytes:,} bytes,"
        f" {result.tensors} tensors in {result.format} ({result.system}),"
        f" the same integers as in {result.source_bytes:,} bytes"
    )
    show(found, [line], as_json=as_json)


def _container(result: "artpack.ImportResult | artpack.ExportResult") -> dict[str, Any]:
    return {
        "format": result.format,
        "system": result.system,
        "tensors": result.tensors,
        "bytes_in": result.source_bytes,
        "bytes_out": result.size_bytes,
    }
