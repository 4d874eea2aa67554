"""Workers, and what is known of the targets when they have been at it for a while."""

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fuzz.target import Target
from tests.fuzz.worker import PLACE, Tally

ROOT = Path(__file__).parents[2]
TURN_S = 2.0
"""How long a target is fed before it is the next one's turn."""

TURNS = 4
"""In a short round a target has about as many."""

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # So that all memory is handed out by what fills it, and given back when it is free.
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=131072",
}


class Worker:
    """A worker's process, started when it is needed, of a program such as ``tests.fuzz.worker``."""

    def __init__(self, program: str = "tests.fuzz.worker") -> None:
        self._program = program
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._place = tempfile.NamedTemporaryFile()  # noqa: SIM115
        self._place.write(PLACE.pack(-1))
        self._place.flush()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._errors.close()
        self._place.close()

    def feed(self, name: str, seed: int, seconds: float, result: Tally) -> None:
        """Feed a target for a while, and enter what happened, the worker's death too."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{name} {seed} {result.first} {seconds}\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if answer:
            _add(result, json.loads(answer))
        else:
            self._bury(process, result)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            # Not measured for coverage, which would take most of the time.
            environ = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._program, self._place.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                cwd=ROOT,
                process_group=0,  # an interrupt is not for it
                env=environ | ENVIRONMENT,
            )
        return self._process

    def _bury(self, process: subprocess.Popen[str], result: Tally) -> None:
        """Enter the death of a worker; the tally of its last turn is lost with it."""
        process.communicate()
        code = process.returncode
        self._process = None
        self._place.seek(0)
        (index,) = PLACE.unpack(self._place.read(PLACE.size))
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")[-4000:]
        self._errors.truncate(0)
        if index < 0:
            raise RuntimeError(f"a worker could not begin ({code}): {said}")
        result.failures.append((index, f"the process ended with {code}\n{said}"))
        result.verdicts["FAULT"] += 1
        result.inputs += 1
        result.first = index + 1


def _add(result: Tally, tally: dict[str, Any]) -> None:
    new = Tally(**{**tally, "verdicts": Counter(tally["verdicts"])})
    result.first = new.first + new.inputs
    result.inputs += new.inputs
    result.verdicts.update(new.verdicts)
    result.slowest_s = max(result.slowest_s, new.slowest_s)
    result.memory_bytes = max(result.memory_bytes, new.memory_bytes)
    result.failures += [(index, told) for index, told in new.failures]


class Round:
    """Targets that take turns until the time is over, or somebody has enough of it."""

    def __init__(
        self, targets: Iterable[Target], seed: int, seconds: float, stop: threading.Event
    ) -> None:
        self.results = {target.name: Tally(0) for target in targets}
        self._seed, self._end, self._stop = seed, time.monotonic() + seconds, stop
        self._turn_s = min(TURN_S, seconds / TURNS / len(self.results))
        names = list(self.results)
        random.Random(seed).shuffle(names)  # so that none is always the last of a short round
        self._queue = deque(names)
        self._errors: list[BaseException] = []

    def run(self, jobs: int) -> None:
        """Keep so many workers busy."""
        threads = [threading.Thread(target=self._work) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _work(self) -> None:
        try:
            with Worker() as worker:
                while self._queue and not self._stop.is_set() and time.monotonic() < self._end:
                    name = self._queue.popleft()
                    worker.feed(name, self._seed, self._turn_s, self.results[name])
                    self._queue.append(name)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._errors.append(error)
