"""Workers give results in order, and leave linear algebra as it was."""

from threading import Event

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from artpack.workers import Workers


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_come_in_the_order_of_their_tasks(jobs: int) -> None:
    assert Workers(jobs).run(pow, [(base, 2) for base in range(20)]) == [n * n for n in range(20)]


def test_threads_for_linear_algebra_are_as_many_afterwards() -> None:
    one_in, both_in, one_out = Event(), Event(), Event()

    def limit_first() -> None:
        with threadpool_limits(1, user_api="blas"):
            one_in.set()
            assert both_in.wait(10)
        one_out.set()

    def limit_last() -> None:
        assert one_in.wait(10)
        with threadpool_limits(1, user_api="blas"):
            both_in.set()
            assert one_out.wait(10)

    np.eye(2) @ np.eye(2)  # now linear algebra is loaded
    with threadpool_limits(2, user_api="blas"):
        before = _blas_threads()
        Workers(2).run(lambda limit: limit(), [(limit_first,), (limit_last,)])
        assert _blas_threads() == before


def _blas_threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
