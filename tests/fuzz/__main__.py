"""
Feed readers with damaged files: ``python -m tests.fuzz --seconds 60 --seed 1``.

The exit code is 1 if a reader failed; the input is then written to a file, and the command
that feeds it again is printed.
"""

import argparse
import random
import sys
from pathlib import Path

from artpack.errors import ArtpackError
from artpack.system.stopping import stop_flag
from tests.fuzz.pool import Round
from tests.fuzz.target import MIB
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import Tally

COLUMNS = "{:24}{:>10}{:>10}{:>10}{:>8}{:>11}{:>10}  {}"


def table(results: dict[str, Tally]) -> str:
    """Lay out one line for each target, and their sum."""
    head = ("target", "inputs", "refused", "equal", "other", "slowest, s", "MiB", "refused as")
    lines = [COLUMNS.format(*head)]
    for name, result in results.items():
        kinds = dict(result.verdicts.most_common())
        equal, other = kinds.pop("equal", 0), kinds.pop("other", 0)
        faults = kinds.pop("FAULT", 0)
        told = ", ".join(f"{kind} {count:,}" for kind, count in kinds.items())
        counts = (f"{count:,}" for count in (result.inputs, sum(kinds.values()), equal, other))
        peak = f"{result.memory_bytes / MIB:.0f}"
        told += f"; FAULTS {faults}" if faults else ""
        lines.append(COLUMNS.format(name, *counts, f"{result.slowest_s:.2f}", peak, told))
    total = sum(result.inputs for result in results.values())
    failures = sum(len(result.failures) for result in results.values())
    return "\n".join([*lines, f"{total:,} inputs, {failures} failures"])


def keep(name: str, seed: int, index: int, told: str, folder: Path) -> str:
    """Write an input that a reader failed on; return what to say of it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{seed}-{index}"
    path.write_bytes(TARGETS[name].input_at(seed, index)[0])
    again = f"python -m tests.fuzz --target {name} --replay {path}"
    return f"{name}, seed {seed}, input {index}: {told.strip()}\n{path}: {again}"


def fuzz(names: list[str], *, seconds: float, seed: int, jobs: int, folder: Path) -> list[str]:
    """Feed some targets, print the table, and return what to say of each failure."""
    with stop_flag() as stop:
        fed = Round([TARGETS[name] for name in names], seed, seconds, stop)
        fed.run(jobs)
    print(f"seed {seed}\n{table(fed.results)}", flush=True)
    return [
        keep(name, seed, index, told, folder)
        for name, result in fed.results.items()
        for index, told in result.failures
    ]


def replay(name: str, path: Path) -> int:
    """Feed one file in this process."""
    try:
        print(f"read: {TARGETS[name].read(path.read_bytes())[:200]}")
    except ArtpackError as error:
        print(f"refused: {type(error).__name__}: {error}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="drawn if it is not given")
    parser.add_argument("--target", action="append", metavar="NAME", help="one or more; all")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="for failures")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="feed this file to --target")
    options = parser.parse_args(arguments)
    names = options.target or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no target {unknown[0]!r} (there are {', '.join(TARGETS)})")
    if options.replay is not None:
        return replay(names[0], options.replay)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    settings = {"seconds": options.seconds, "jobs": options.jobs, "folder": options.folder}
    failures = fuzz(names, seed=seed, **settings)
    print("\n\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
