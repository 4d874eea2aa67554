"""The rate of large matmuls, which bounds whatever a model does."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

MATMULS = 4
"""How often each size is timed."""


def matmul_peak(sizes: Sequence[int], device: str, dtype: torch.dtype) -> float:
    """Return the best rate of square matmuls in operations per second."""
    rates = []
    for size in sizes:
        square = torch.randn(size, size, device=device).to(dtype)
        best_s = min(seconds_of(partial(multiply, square)) for _ in range(MATMULS))
        rates.append(2 * size**3 / best_s)
    return max(rates)


def multiply(square: Tensor) -> float:
    """Multiply a matrix with itself and read one element."""
    return float((square @ square)[0, 0])


def seconds_of(work: Callable[[], float]) -> float:
    """Time a work that ends with a number on the CPU, so that the device is done as well."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
