"""The output of ``artpack calibrate``."""

from pathlib import Path

import artpack

from .tables import show


def summary(
    found: "artpack.Calibration",
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
    window_tokens = settings.get("window_tokens")
    windows = found.tokens // window_tokens if isinstance(window_tokens, int) else None
    facts = {
        "checkpoint": str(checkpoint),
        "calibration": str(output),
        "windows": windows,
        "window_tokens": window_tokens,
        "tokens": found.tokens,
        "hessians": len(found.hessians),
        "bytes": size,
        "seconds": seconds,
        "fingerprint": found.fingerprint,
        "notes": found.notes,
    }
    run = (
        f"{found.tokens:,} rows"
        if windows is None
        else f"{windows:,} windows of {window_tokens:,} tokens"
    )
    line = f"{output}: {run}, {len(found.hessians)} matrices, {size:,} bytes, {seconds:.1f} s"
    show(facts, [line], as_json=as_json)
