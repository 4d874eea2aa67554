"""
A process that feeds targets, and may die of it.

It is told ``TARGET SEED FIRST SECONDS`` in a line, feeds inputs from number FIRST on, and
answers with a tally in a line of JSON. The number that it is at stands in the file of its only
argument.
"""

import faulthandler
import json
import mmap
import resource
import struct
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tests.fuzz.target import MIB, Target
from tests.fuzz.targets import TARGETS

HANG_S = 10.0
"""Of processor time."""

WATCHDOG_S = 60.0
"""Of the clock: other programs may have the processor."""

MEMORY_BYTES = 8 << 30
"""Address space; most of it is the libraries'."""

PLACE = struct.Struct("<q")


@dataclass
class Tally:
    """What became of some inputs, from ``first`` on."""

    first: int
    inputs: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    memory_bytes: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)


def peak_bytes() -> int:
    """Return the most memory that was resident since ``forget_peak``."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def resident_bytes() -> int:
    """Return how much memory is resident."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * mmap.PAGESIZE


def forget_peak() -> None:
    """Let the peak begin anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def feed(target: Target, seed: int, index: int, tally: Tally) -> None:
    """Make one input, read it, and enter what happened."""
    forget_peak()
    before, start = resident_bytes(), time.process_time()
    try:
        verdict = target.verdict(*target.input_at(seed, index))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is a fault
        verdict = "FAULT"
        tally.failures.append((index, "".join(traceback.format_exception(error))[-4000:]))
    seconds, grown = time.process_time() - start, max(0, peak_bytes() - before)
    tally.inputs += 1
    tally.verdicts[verdict] += 1
    tally.slowest_s = max(tally.slowest_s, seconds)
    tally.memory_bytes = max(tally.memory_bytes, grown)
    if seconds > HANG_S:
        tally.failures.append((index, f"it took {seconds:.1f} s of processor time"))
    if grown > target.memory_bytes:
        tally.failures.append((index, f"it took {grown // MIB} MiB"))


def run(target: Target, tally: Tally, *, seed: int, seconds: float, place: Any) -> None:
    """Feed one input after another."""
    with warnings.catch_warnings():  # of libraries that are imported late
        warnings.simplefilter("ignore")
        assert target.corpus  # made here, so that no input pays for it
    end = time.monotonic() + seconds
    while not tally.inputs or time.monotonic() < end:
        index = tally.first + tally.inputs
        PLACE.pack_into(place, 0, index)
        faulthandler.dump_traceback_later(WATCHDOG_S, exit=True)
        feed(target, seed, index, tally)
        faulthandler.cancel_dump_traceback_later()


def serve(orders: TextIO, place: Any) -> None:
    """Answer one order after another."""
    for line in orders:
        name, seed, first, seconds = line.split()
        tally = Tally(int(first))
        PLACE.pack_into(place, 0, -1)
        run(TARGETS[name], tally, seed=int(seed), seconds=float(seconds), place=place)
        print(json.dumps(vars(tally)), flush=True)


def main() -> None:
    """Answer orders from the standard input."""
    faulthandler.enable()
    resource.setrlimit(
        resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1])
    )
    warnings.simplefilter("error")
    with Path(sys.argv[1]).open("r+b") as file, mmap.mmap(file.fileno(), PLACE.size) as place:
        serve(sys.stdin, place)


if __name__ == "__main__":
    main()
