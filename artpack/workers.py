"""Running many independent pieces of work in order, in one process or in several."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from joblib import Parallel, delayed

T = TypeVar("T")


class Workers:
    """
    Worker processes, or none.

    Attributes:
        jobs: Number of processes; 1 runs everything in this one.
    """

    def __init__(self, jobs: int = 1) -> None:
        """
        Choose the number of processes.

        Args:
            jobs: 1 or more.

        """
        self.jobs = jobs

    def run(self, function: Callable[..., T], tasks: Sequence[tuple[object, ...]]) -> list[T]:
        """
        Apply a function to each tuple of arguments.

        Args:
            function: Importable by name, so that another process can find it.
            tasks: The arguments of each call.

        Returns:
            The results in the order of the tasks, whoever finished first.

        """
        if self.jobs == 1 or len(tasks) < 2:
            return [function(*task) for task in tasks]
        results: list[T] = Parallel(n_jobs=self.jobs)(delayed(function)(*task) for task in tasks)
        return results
