"""Workers give results in order, and leave linear algebra as it was."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from artpack.system.workers import Once, Threads, cores, workers_for


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_come_in_the_order_of_their_tasks(jobs: int) -> None:
    tasks = [(base, 2) for base in range(20)]
    finished: list[int] = []
    assert list(Threads(jobs).map(pow, tasks, finished.append)) == [n * n for n in range(20)]
    assert sorted(finished) == list(range(20))


def test_tasks_are_taken_only_as_fast_as_they_are_worked_on() -> None:
    taken: list[int] = []
    both = threading.Barrier(2, timeout=10)

    def tasks() -> Iterator[tuple[int]]:
        for number in range(6):
            taken.append(number)
            yield (number,)

    def work(number: int) -> int:
        seen = len(taken)
        if number < 2:  # the two threads wait for each other
            both.wait()
        return seen

    first, second, *_ = Threads(2).map(work, tasks())
    assert max(first, second) <= 3  # one more may be taken while both are at work
    assert taken == [0, 1, 2, 3, 4, 5]


def test_an_error_of_a_task_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(Threads(2).map(divmod, [(1, 1), (1, 0), (1, 1)]))


def test_meanwhile_linear_algebra_has_one_thread_and_afterwards_what_it_had() -> None:
    np.eye(2) @ np.eye(2)  # now linear algebra is loaded
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        seen = list(Threads(2).map(lambda _: blas_threads(), [(1,), (2,)]))
        assert blas_threads() == before
    assert all(threads <= {1} for threads in seen)


def blas_threads() -> set[int]:
    """Return how many threads the libraries of linear algebra have."""
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_without_a_number_there_is_a_thread_for_each_core() -> None:
    assert Threads().jobs == cores() >= 1
    assert isinstance(workers_for(None), Threads)


def test_workers_are_taken_as_they_are() -> None:
    threads = Threads(3)
    assert workers_for(threads) is threads
    assert threads.one_at_a_time().jobs == 1


def test_a_process_makes_once_what_tasks_share() -> None:
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name

    first, second = Once(lambda: make("a")), Once(lambda: make("b"))
    assert [first(), first(), second(), second()] == ["a", "a", "b", "b"]
    assert made == ["a", "b"]
