"""What a benchmark ran on."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from artpack.pack.compress import LIBRARIES
from artpack.version import __version__


def machine() -> dict[str, str | float]:
    """Return the columns that every row of results ends with."""
    return {
        "cpu": cpu(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "artpack": __version__,
        "libraries": " ".join(f"{name}={version(name)}" for name in LIBRARIES),
    }


def cpu() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.machine()


def results_path(path: Path, bench: str) -> Path:
    """Return the file to write: in a folder, one named after the benchmark and the processor."""
    name = re.sub(r"\W+", "-", re.sub(r"\((R|TM)\)", "", cpu())).lower()
    return path / f"{bench}-{name}.csv" if path.is_dir() else path
