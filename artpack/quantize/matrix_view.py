"""A weight tensor as a matrix, a few rows at a time, every value finite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from artpack.errors import UsageError
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_WEIGHTS = 1 << 18
"""Weights handled at a time, so that even eight float64 temporaries stay at 16 MiB."""


def matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    """
    Return the rows and columns that a tensor of any shape is seen as.

    The first dimension counts rows, the others together columns; a tensor of
    fewer than two dimensions is one row. Without elements there are no rows
    either, so that nothing is stored for them.

    Args:
        shape: Shape of the tensor.

    Returns:
        Rows and columns, of which the product is the number of elements.

    >>> matrix_shape((4, 3, 2)), matrix_shape((5,)), matrix_shape(()), matrix_shape((7, 0))
    ((4, 6), (1, 5), (1, 1), (0, 0))

    """
    count = math.prod(shape)
    if count == 0:
        return 0, 0
    rows = shape[0] if len(shape) > 1 else 1
    return rows, count // rows


def row_chunks(shape: tuple[int, int]) -> Iterator[slice]:
    """
    Cut a matrix into runs of rows of about ``CHUNK_WEIGHTS`` weights, at least one row each.

    Args:
        shape: Rows and columns.

    Yields:
        The runs, in order.

    >>> list(row_chunks((5, CHUNK_WEIGHTS // 2)))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]

    """
    rows, cols = shape
    height = max(1, CHUNK_WEIGHTS // max(cols, 1))
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows))


def finite_chunks(
    weight: Tensor, shape: tuple[int, int], *, padded_cols: int = 0
) -> Iterator[tuple[slice, Tensor]]:
    """
    Walk over a weight tensor as a matrix of finite fp32 values.

    This is the one place where a weight's dtype and finiteness are checked.

    Args:
        weight: Any shape, any real floating point dtype, any device.
        shape: Rows and columns to see it as.
        padded_cols: Columns that the caller will fill a row up to, if more:
            chunks are smaller then.

    Yields:
        Which rows, and these rows: fp32 on the CPU. They may share the
        weight's memory: do not write to them.

    Raises:
        UsageError: The tensor is not floating point, or a value is NaN or
            infinite once it is fp32; names its index.

    """
    if not weight.is_floating_point():
        raise UsageError(f"only floating point is quantized, got {weight.dtype}: store it as raw")
    matrix = weight.detach().reshape(shape)
    for at in row_chunks((shape[0], max(shape[1], padded_cols))):
        chunk = matrix[at].to(device="cpu", dtype=torch.float32)
        reject(
            ~chunk.isfinite(),
            weight,
            at.start * shape[1],
            "is not finite in fp32: only raw keeps it",
        )
        yield at, chunk


def finite_matrix(weight: Tensor) -> Tensor:
    """
    Return all of a weight tensor at once, as a matrix of finite fp32 values.

    Args:
        weight: Any shape, any real floating point dtype, any device.

    Returns:
        fp32 on the CPU, shape :func:`matrix_shape`. It may share the weight's
        memory: do not write to it.

    Raises:
        UsageError: The tensor is not floating point, or a value is not finite.

    """
    shape = matrix_shape(weight.shape)
    for _ in finite_chunks(weight, shape):
        pass
    return weight.detach().reshape(shape).to(device="cpu", dtype=torch.float32)


def reject(bad: Tensor, weight: Tensor, start: int, fault: str) -> None:
    """
    Complain about the first bad value of a weight tensor, if there is one.

    Args:
        bad: bool, any shape: which of some consecutive values are bad.
        weight: The tensor that they belong to.
        start: Where ``bad`` begins in it, counted row-major.
        fault: What is wrong with such a value: ``is not finite``.

    Raises:
        UsageError: A value is bad; names its index and the value.

    """
    if bad.any():
        flat = start + int(bad.flatten().nonzero()[0])
        index = tuple(int(i) for i in np.unravel_index(flat, tuple(weight.shape)))
        raise UsageError(f"weight {weight[index].item()} at {list(index)} {fault}")


def steady_sum(values: Tensor) -> Tensor:
    """
    Sum over the last dimension in torch's own order, whatever the number of threads.

    Torch shares a sum out among threads, and so changes its order, only when it
    makes a single one; so it is never asked for a single one.

    Args:
        values: Floating point, two or more dimensions, at least one row.

    Returns:
        The sums, one dimension less.

    """
    rows = len(values)
    return values.expand(max(rows, 2), *values.shape[1:]).sum(dim=-1)[:rows]
