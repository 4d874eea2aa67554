"""A limit of linear algebra to one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from artpack.system.late import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """
    Keep torch and numpy from sharing work out among threads.

    Columns are so little work that threads mostly wait for each other: ten times as
    long where another process has one of the cores. And sums keep their order.

    Yields:
        Nothing. What else runs in this process meanwhile is kept from it as well.

    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)
