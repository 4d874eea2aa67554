"""Peak memory of a piece of work, by what Linux keeps in ``/proc``."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SAMPLE_S = 0.001


def peak_growth_mib(work: Callable[[], T]) -> tuple[T, float]:
    """Do the work; return its result, and by how much resident memory grew at most."""
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts over
    before_mib = status_mib("VmRSS")
    result = work()
    return result, status_mib("VmHWM") - before_mib


def sample(work: Callable[[], T], probe: Callable[[], float]) -> tuple[T, list[float]]:
    """Do the work; return its result, and what the probe saw every millisecond."""
    samples = [probe()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            samples.append(probe())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return work(), samples
    finally:
        done.set()
        watcher.join()


def status_mib(field: str, process: int | str = "self") -> float:
    """Return one of the sizes that Linux keeps for a process, in MiB; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0) / 1024


def family_mib(process: int) -> float:
    """Return the memory of a process and all that it has started, what they share counted once."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own_kib = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return own_kib / 1024 + sum(family_mib(int(child)) for child in children.split())
