"""Workers for many independent tasks, in one thread or in several."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

T = TypeVar("T")


def cores() -> int:
    """
    Count the cores that this process may use.

    Returns:
        1 or more.

    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """
    Threads, or none.

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

    def run(self, function: Callable[..., T], tasks: Sequence[tuple[object, ...]]) -> list[T]:
        """
        Apply a function to each tuple of arguments.

        Args:
            function: Safe to run in several threads at once.
            tasks: The arguments of each call.

        Returns:
            The results in the order of the tasks, whoever finished first.

        """
        if self.jobs == 1 or len(tasks) < 2:
            return [function(*task) for task in tasks]
        # Limits that threads set and undo in no order would outlast them: this one lies beneath.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(self.jobs) as pool:
            return list(pool.map(lambda task: function(*task), tasks))
