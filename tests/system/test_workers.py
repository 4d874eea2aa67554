"""Workers give results in order, and leave linear algebra as it was."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from artpack.system.workers import Workers, cores


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_come_in_the_order_of_their_tasks(jobs: int) -> None:
    assert Workers(jobs).run(pow, [(base, 2) for base in range(20)]) == [n * n for n in range(20)]


def test_meanwhile_linear_algebra_has_one_thread_and_afterwards_what_it_had() -> None:
    np.eye(2) @ np.eye(2)  # now linear algebra is loaded
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        seen = Workers(2).run(lambda _: blas_threads(), [(1,), (2,)])
        assert blas_threads() == before
    assert all(threads <= {1} for threads in seen)


def blas_threads() -> set[int]:
    """Return how many threads the libraries of linear algebra have."""
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_without_a_number_there_is_a_thread_for_each_core() -> None:
    assert Workers().jobs == cores() >= 1
