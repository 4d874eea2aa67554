"""
A Dask cluster whose processes do tasks.

Tasks and results are pickled by Dask, so a scheduler must be trusted as this process is. What a
task needs stays with the scheduler until it is done: if a worker dies, another one does its task.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeVar

from threadpoolctl import threadpool_limits

from artpack.errors import ArtpackError, UsageError
from artpack.system.late import torch
from artpack.system.optional import import_optional
from artpack.system.workers import Finished, in_order
from artpack.version import __version__

T = TypeVar("T")

WAIT_S = 30
"""How long a scheduler, and then its first worker, may take to answer."""

AHEAD = 2
"""Tasks under way for each process: one is worked on while the next is sent."""


class Cluster:
    """
    Processes that a Dask scheduler knows of; a context manager.

    Each works on one task at a time, however many threads it has. Workers may come and go.

    Args:
        address: Of the scheduler: ``tcp://host:8786``.

    Raises:
        UsageError: Dask is not installed, nobody answers, or workers have other versions of
            what bytes depend on.
    """

    def __init__(self, address: str) -> None:
        self._dask = import_optional("distributed", what="`scheduler` needs", extra="cluster")
        config = import_optional("dask.config", what="`scheduler` needs", extra="cluster")
        # Arguments lie with the scheduler on purpose, whatever their size.
        config.set({"distributed.admin.large-graph-warning-threshold": 1 << 60})
        try:
            self._client = self._dask.Client(address, timeout=WAIT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"`scheduler` {address}: no scheduler answers") from error
        self.address = address
        self._check_workers()
        self._seen = lru_cache(self._are_seen)

    def _check_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=WAIT_S)
        except self._dask.TimeoutError as error:
            self.close()
            raise UsageError(
                f"`scheduler` {self.address}: it has no workers; start them with"
                f" 'dask worker {self.address} --nthreads 1 --nworkers -1'"
            ) from error
        own = _versions()
        for worker, theirs in self._client.run(_versions).items():
            for name in own:
                if theirs[name] != own[name]:
                    self.close()
                    raise UsageError(
                        f"`scheduler` {self.address}: worker {worker} has {name} {theirs[name]},"
                        f" here it is {own[name]}: the bytes may differ; install the same"
                    )

    @cached_property
    def dashboard(self) -> str:
        """Where a browser sees what it does; empty without a dashboard."""
        return str(self._client.dashboard_link or "")

    @property
    def count(self) -> int:
        """How many processes there are now."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def map(
        self,
        function: Callable[..., T],
        tasks: Iterable[tuple[Any, ...]],
        finished: Finished | None = None,
    ) -> Iterator[T]:
        """Apply a function to each tuple of arguments, see :meth:`Workers.map`."""
        threads = torch.get_num_threads()

        def submit(task: tuple[Any, ...]) -> Any:
            return self._client.submit(_do, threads, function, *task, pure=False)

        limit = AHEAD * max(1, self.count)
        try:
            yield from in_order(submit, tasks, limit, finished or (lambda _: None))
        except (self._dask.KilledWorker, self._dask.client.FutureCancelledError) as error:
            raise ArtpackError(
                f"the cluster gave a task up: {error}; perhaps its workers lack memory"
            ) from error

    def one_at_a_time(self) -> Cluster:
        """Return the cluster itself."""
        return self

    def sees(self, files: Iterable[Path]) -> bool:
        """Say whether every worker finds files of the same size and time under these paths."""
        return self._seen(tuple(files))

    def _are_seen(self, files: tuple[Path, ...]) -> bool:
        found = self._client.run(_stamps, files).values()
        own = _stamps(files)
        return bool(own) and None not in own and all(one == own for one in found)

    def share(self, value: T) -> T:
        """Leave a value with the scheduler; tasks are given it as their argument."""
        left: T = self._client.submit(_same, value, pure=False)
        return left

    def close(self) -> None:
        """Leave the scheduler; it and its workers go on."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_BUSY = Lock()
"""Held while a task runs: the number of threads for linear algebra is one for a process."""


def _do(threads: int, function: Callable[..., T], *task: Any) -> T:
    """Do a task with as many threads for linear algebra as its sender has: sums depend on it."""
    with _BUSY, threadpool_limits(1, user_api="blas"):
        torch.set_num_threads(threads)
        return function(*task)


def _same(value: T) -> T:
    return value


def _versions() -> dict[str, str]:
    """Return versions of what symbols and bytes depend on."""
    named = {name: version(name) for name in ("numba", "numpy", "torch")}
    return {"artpack": __version__, "python": platform.python_version(), **named}


def _stamps(files: tuple[Path, ...]) -> list[tuple[int, int] | None]:
    return [_stamp(file) for file in files]


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
