"""
Two Dask workers against one: seconds, the same bytes, and a worker that is killed in the middle.

::

    python -m benchmarks.bench_cluster CHECKPOINT --tokens FILE --budget 45000000

Workers are processes of this machine with a thread each. Each run calibrates, quantizes to the
budget and packs, after a first small one that loads libraries.
"""

import argparse
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from distributed import LocalCluster

import artpack
from artpack.demo import CALIBRATION, CHECKPOINT, write_demo
from benchmarks.report import Row, print_table, write_csv


class Killer:
    """Progress that kills a worker once, in the middle of quantizing."""

    def __init__(self, local: LocalCluster) -> None:
        self._local, self._killed = local, False

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Kill the first worker."""
        del note
        if phase == "quantizing" and 2 * done >= total and not self._killed:
            self._killed = True
            os.kill(next(iter(self._local.workers.values())).pid, signal.SIGKILL)


def main() -> None:
    """Run here, with one worker, with two, and with two of which one dies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?", help="by default the demo's model")
    parser.add_argument("--tokens", help="what to calibrate with")
    parser.add_argument("--budget", type=int, default=250_000)
    parser.add_argument("--profile", default="default")
    parser.add_argument(
        "--folder", type=Path, default=Path("demo-out"), help="for the demo's model"
    )
    parser.add_argument("--csv", type=Path, help="write the table, too")
    asked = parser.parse_args()
    if asked.checkpoint is None:
        write_demo(asked.folder)
        asked.checkpoint = (asked.folder / CHECKPOINT).absolute()
        asked.tokens = str((asked.folder / CALIBRATION).absolute())
    torch.set_num_threads(1)  # as the workers have it
    rows, first = [], b""
    for name, workers, killed in (
        ("one thread, no cluster", 0, False),
        ("one worker", 1, False),
        ("two workers", 2, False),
        ("two workers, one killed", 2, True),
    ):
        content, seconds = run(asked, workers, killed=killed)
        first = first or content
        row: Row = {"run": name, "seconds": seconds, "bytes": len(content)}
        rows.append({**row, "same bytes": str(content == first)})
        print(*rows[-1].values(), sep=", ", flush=True)  # all four may take hours
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "cluster", rows)


def run(asked: argparse.Namespace, workers: int, *, killed: bool) -> tuple[bytes, float]:
    """Return a file's bytes, and the seconds that they took."""
    if not workers:
        return made(asked, 1, None)
    with (
        start(workers) as local,
        artpack.Cluster(local.scheduler_address) as cluster,
    ):
        artpack.compress({f"{n}": torch.randn(64, 64) for n in range(4)}, jobs=cluster)
        return made(asked, cluster, Killer(local) if killed else None)


def start(workers: int) -> Any:
    """Start worker processes and a scheduler."""
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
    return LocalCluster(workers, **options)  # type: ignore[no-untyped-call]


def made(
    asked: argparse.Namespace, jobs: "int | artpack.Cluster", progress: Killer | None
) -> tuple[bytes, float]:
    """Calibrate and pack."""
    started = time.monotonic()
    result = artpack.compress(
        asked.checkpoint,
        budget=asked.budget,
        calibration_tokens=asked.tokens,
        profile=asked.profile,
        jobs=jobs,
        progress=progress,
    )
    return result.content(), round(time.monotonic() - started, 1)


if __name__ == "__main__":
    main()
