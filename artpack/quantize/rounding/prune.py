"""Weights that are set to zero: the smallest before rounding, codes of one after it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor


def prune_smallest(weight: Tensor, share: float) -> Tensor:
    """
    Set the smallest weights of a tensor to zero.

    Args:
        weight: Floating point, any shape.
        share: Which share of all magnitudes the threshold exceeds, 0 to 1. It lies
            between two magnitudes in proportion, and becomes one of the weight's dtype.

    Returns:
        A copy with every weight below the threshold zero.

    Source: parameter-golf pull request 576.

    >>> prune_smallest(torch.tensor([3.0, -1.0, 2.0, -4.0]), 0.5).tolist()
    [3.0, 0.0, 0.0, -4.0]

    """
    magnitudes = weight.detach().abs()
    if magnitudes.numel() == 0:
        return weight.detach().clone()
    ordered = magnitudes.float().flatten().sort().values
    # All fp32 as torch.quantile, which refuses more than 16 million values.
    rank = torch.tensor(share, dtype=torch.float32) * (len(ordered) - 1)
    below, above = ordered[rank.floor().long()], ordered[rank.ceil().long()]
    threshold = torch.lerp(below, above, rank - rank.floor()).to(weight.dtype)
    return weight.detach().masked_fill(magnitudes < threshold, 0)


def zero_ones(
    codes: Mapping[str, Tensor],
    steps: Mapping[str, Tensor],
    size: Callable[[], int],
    *,
    limit_bytes: int,
    batch_rows: int = 128,
    most: float = 0.5,
) -> int:
    """
    Set codes of plus and minus one to zero until a file is small enough.

    Whole rows lose them, those with the finest steps first, a batch of rows at a time. A
    batch that does not make the file smaller is undone. It ends when the size is right,
    when ``most`` of all ones are gone, or after two such batches in a row.

    Args:
        codes: Name to signed codes, shape ``(rows, cols)``; changed in place.
        steps: Name to the rows' steps, shape ``(rows,)``.
        size: Says how large the file is with the codes as they are.
        limit_bytes: How large it may be.
        batch_rows: Rows between two looks at the size, 1 or more.
        most: Share of all ones after which no further batch begins; 0 zeroes none.

    Returns:
        How many rows lost their ones.

    Source: parameter-golf pull request 826, which did not need it in any published run.

    >>> codes = {"a": torch.tensor([[1, 5], [-1, 2]])}
    >>> def nonzero() -> int:
    ...     return int(codes["a"].count_nonzero())
    >>> zero_ones(codes, {"a": torch.tensor([2.0, 1.0])}, nonzero, limit_bytes=3, batch_rows=1)
    1
    >>> codes["a"].tolist()
    [[1, 5], [0, 2]]

    """
    waiting = rows_with_ones(codes, steps)
    most_ones = int(most * sum(row.ones for row in waiting))
    smallest, idle, rows, ones = size(), 0, 0, 0
    for low in range(0, len(waiting), batch_rows):
        if smallest <= limit_bytes or idle == 2 or ones >= most_ones:
            break
        batch = waiting[low : low + batch_rows]
        before = [codes[row.name][row.number].clone() for row in batch]
        for row in batch:
            codes[row.name][row.number].masked_fill_(codes[row.name][row.number].abs() == 1, 0)
        if (now := size()) < smallest:
            smallest, idle = now, 0
            rows, ones = rows + len(batch), ones + sum(row.ones for row in batch)
            continue
        idle += 1
        for row, own in zip(batch, before, strict=True):
            codes[row.name][row.number] = own
    return rows


class RowWithOnes(NamedTuple):
    """
    A row that holds codes of plus or minus one.

    Attributes:
        square: Of its step.
        name: Of its tensor.
        number: Of the row.
        ones: How many it holds.
    """

    square: float
    name: str
    number: int
    ones: int


def rows_with_ones(codes: Mapping[str, Tensor], steps: Mapping[str, Tensor]) -> list[RowWithOnes]:
    """
    List rows that hold codes of plus or minus one, finest steps first.

    Args:
        codes: Name to signed codes, shape ``(rows, cols)``.
        steps: Name to the rows' steps, shape ``(rows,)``.

    Returns:
        The rows, those with equal steps in the order of ``codes``.

    """
    found = []
    for name, matrix in codes.items():
        ones = (matrix.abs() == 1).sum(dim=1).tolist()
        squares = steps[name].float().square().tolist()
        found += [RowWithOnes(squares[r], name, r, n) for r, n in enumerate(ones) if n]
    return sorted(found, key=lambda row: row.square)
