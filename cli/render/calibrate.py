"""The output of ``artpack calibrate``."""

from pathlib import Path

import click

from artpack import Calibration

from .flags import with_flags
from .tables import print_json, print_note


def summary(
    found: Calibration,
    checkpoint: Path,
    output: Path,
    *,
    size: int,
    seconds: float,
    as_json: bool,
) -> None:
    """Print what was collected, and where it went."""
    settings = found.fingerprint["settings"]
    assert isinstance(settings, dict)
    window_tokens = settings["window_tokens"]
    assert isinstance(window_tokens, int)
    windows = found.tokens // window_tokens
    if as_json:
        print_json(
            {
                "checkpoint": str(checkpoint),
                "calibration": str(output),
                "windows": windows,
                "window_tokens": window_tokens,
                "tokens": found.tokens,
                "hessians": len(found.hessians),
                "bytes": size,
                "seconds": seconds,
                "fingerprint": found.fingerprint,
                "notes": list(map(with_flags, found.notes)),
            }
        )
        return
    for note in found.notes:
        print_note(note)
    click.echo(
        f"{output}: {windows:,} windows of {window_tokens:,} tokens,"
        f" {len(found.hessians)} matrices, {size:,} bytes, {seconds:.1f} s"
    )
