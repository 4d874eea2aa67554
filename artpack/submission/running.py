"""The script of a submission, run by itself."""

import json
import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artpack.errors import ArtpackError

NUMBERS = ("val_loss", "val_bpb", "val_loss_stderr", "val_bpb_stderr")
COUNTS = ("tokens", "bytes")
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
"""Of the environment's variables: none that changes what Python finds."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Printed:
    """
    What a script found.

    Attributes:
        val_loss: Mean loss, nats a token.
        val_bpb: Bits per byte.
        val_loss_stderr: Standard error; None for a single document.
        val_bpb_stderr: Likewise.
        tokens: How many were scored.
        bytes: Of text, that they stand for.
    """

    val_loss: float
    val_bpb: float
    val_loss_stderr: float | None
    val_bpb_stderr: float | None
    tokens: int
    bytes: int


def run_script(python: Path | str, script: Path, arguments: list[str]) -> Printed:
    """
    Run a script and read what it prints.

    Args:
        python: Which Python runs it.
        script: The script; it runs in its own folder.
        arguments: Its command line.

    Returns:
        What it found.

    Raises:
        ArtpackError: It failed, or printed something else; in one line.

    """
    environment = {name: os.environ[name] for name in (*KEPT, *THREADS) if name in os.environ}
    done = subprocess.run(  # noqa: S603 - what is audited is run; the documents say so
        [str(python), "-I", "-B", f"./{script.name}", *arguments],
        cwd=script.parent,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        raise ArtpackError(f"{script.name} failed: {said[0]}")
    lines = done.stdout.strip().splitlines()
    try:
        return _read(json.loads(lines[-1]))
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArtpackError(f"{script.name} printed no score in its last line") from error


def _read(value: Any) -> Printed:
    for name in NUMBERS:
        number = value[name]
        missing = number is None and name.endswith("stderr")
        if not missing and not (type(number) is float and math.isfinite(number)):
            raise ValueError(name)
    for name in COUNTS:
        if type(value[name]) is not int:
            raise ValueError(name)
    return Printed(**{name: value[name] for name in (*NUMBERS, *COUNTS)})
