"""
Workers for many independent tasks: this thread, several threads, or a cluster.

A task is a pure function and its arguments. Results come in the order of the tasks, whoever
finished first, so that sums over them are always the same.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Semaphore
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from uuid import uuid4

from threadpoolctl import threadpool_limits

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Finished = Callable[[int], None]
"""Told the number of a task, from 0, once it is done; from whatever thread."""


class Workers(Protocol):
    """What does tasks."""

    @property
    def count(self) -> int:
        """How many work at a time."""

    def map(
        self,
        function: Callable[..., T],
        tasks: Iterable[tuple[Any, ...]],
        finished: Finished | None = None,
    ) -> Iterator[T]:
        """
        Apply a function to each tuple of arguments.

        Args:
            function: Safe to run several times at once; one that a module has by name.
            tasks: The arguments of each call; taken only as fast as they are worked on.
            finished: Told of each task.

        Returns:
            The results in the order of the tasks, as they come.

        """

    def one_at_a_time(self) -> "Workers":
        """Return workers of which no two share a process."""

    def sees(self, files: Iterable[Path]) -> bool:
        """Say whether every worker can read these files, of which there must be some."""

    def share(self, value: T) -> T:
        """Return what stands for an argument of many tasks, so that it is sent once."""


class Threads:
    """
    Threads of this process, or none.

    What takes long lets go of the interpreter: codecs, compiled kernels, and numpy. Processes
    would each take 250 MB for their libraries.

    Attributes:
        jobs: Number of threads, each with one for linear algebra; 1 runs everything in the
            caller's.
    """

    def __init__(self, jobs: int | None = None) -> None:
        """
        Choose the number of threads.

        Args:
            jobs: 1 or more; None for as many as there are cores.

        """
        self.jobs = cores() if jobs is None else jobs

    @property
    def count(self) -> int:
        """How many work at a time."""
        return self.jobs

    def map(
        self,
        function: Callable[..., T],
        tasks: Iterable[tuple[Any, ...]],
        finished: Finished | None = None,
    ) -> Iterator[T]:
        """Apply a function to each tuple of arguments, see :meth:`Workers.map`."""
        if self.jobs == 1:
            return _one_by_one(function, tasks, finished or _nothing)
        return self._in_threads(function, tasks, finished or _nothing)

    def _in_threads(
        self, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]], finished: Finished
    ) -> Iterator[T]:
        # Limits that threads set and undo in no order would outlast them: this one lies beneath.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(self.jobs) as pool:
            yield from in_order(
                lambda task: pool.submit(function, *task), tasks, self.jobs, finished
            )

    def one_at_a_time(self) -> "Threads":
        """Return the caller's thread."""
        return Threads(1)

    def sees(self, files: Iterable[Path]) -> bool:  # noqa: ARG002 - see Workers
        """Return True: what is open in this process is open to all of its threads."""
        return True

    def share(self, value: T) -> T:
        """Return the value itself."""
        return value


Jobs: TypeAlias = int | Workers | None
"""Threads, None for one a core; or workers of another kind."""


def workers_for(jobs: Jobs) -> Workers:
    """
    Return workers.

    Args:
        jobs: How many threads, or the workers themselves.

    Returns:
        The workers.

    """
    return Threads(jobs) if jobs is None or isinstance(jobs, int) else jobs


def cores() -> int:
    """
    Count the cores that this process may use.

    Returns:
        1 or more.

    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Once(Generic[T]):
    """
    What a process makes when it is first called for, and keeps until it makes another.

    Attributes:
        make: Makes it.
        key: Tells it from others, wherever it was sent.
    """

    make: Callable[[], T] = field(compare=False)
    key: str = field(default_factory=lambda: uuid4().hex)

    def __call__(self) -> T:
        """Return it."""
        made: T = _made(self)
        return made


@lru_cache(maxsize=1)
def _made(once: Once[Any]) -> Any:
    return once.make()


class Task(Protocol[T_co]):
    """A task that was given to somebody: a future of the standard library, or one like it."""

    def result(self) -> T_co:
        """Wait for what it returns, or raise what it raised."""

    def done(self) -> bool:
        """Say whether it is over."""

    def add_done_callback(self, callback: Callable[[Any], None]) -> object:
        """Call something once it is over."""


def in_order(
    submit: Callable[[tuple[Any, ...]], Task[T]],
    tasks: Iterable[tuple[Any, ...]],
    limit: int,
    finished: Finished,
) -> Iterator[T]:
    """
    Give tasks to somebody, only so many at a time.

    Args:
        submit: Takes a task's arguments.
        tasks: The arguments of each.
        limit: How many may be under way.
        finished: Told of each task.

    Yields:
        The results in the order of the tasks.

    """
    free, given = Semaphore(limit), deque[Task[T]]()
    for number, task in enumerate(tasks):
        free.acquire()
        given.append(submit(task))
        given[-1].add_done_callback(_over(number, free, finished))
        while given and given[0].done():
            yield given.popleft().result()
    while given:
        yield given.popleft().result()


def _over(number: int, free: Semaphore, finished: Finished) -> Callable[[object], None]:
    def over(_: object) -> None:
        free.release()
        finished(number)

    return over


def _one_by_one(
    function: Callable[..., T], tasks: Iterable[tuple[Any, ...]], finished: Finished
) -> Iterator[T]:
    for number, task in enumerate(tasks):
        result = function(*task)
        finished(number)
        yield result


def _nothing(_: int) -> None:
    pass
