"""Weights that are set to zero: the smallest before rounding, codes of one after it."""

from collections.abc import Callable, Mapping

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

    Whole rows lose them, those with the finest steps first, a batch of rows at a time.
    It ends when the size is right, when ``most`` of all ones are gone, or when two
    batches in a row made nothing smaller.

    Args:
        codes: Name to signed codes, shape ``(rows, cols)``; changed in place.
        steps: Name to the rows' steps, shape ``(rows,)``.
        size: Says how large the file is with the codes as they are.
        limit_bytes: How large it may be.
        batch_rows: Rows between two looks at the size.
        most: Share of all ones after which no further batch begins.

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
    left = (1 - most) * sum(ones for *_, ones in waiting)
    smallest, idle, done = size(), 0, 0
    while smallest > limit_bytes and idle < 2 and sum(ones for *_, ones in waiting) > left:
        batch, waiting = waiting[:batch_rows], waiting[batch_rows:]
        for _, name, row, _ in batch:
            codes[name][row].masked_fill_(codes[name][row].abs() == 1, 0)
        done += len(batch)
        now = size()
        idle = 0 if now < smallest else idle + 1
        smallest = min(now, smallest)
    return done


def rows_with_ones(
    codes: Mapping[str, Tensor], steps: Mapping[str, Tensor]
) -> list[tuple[float, str, int, int]]:
    """
    List rows that hold codes of plus or minus one, finest steps first.

    Args:
        codes: Name to signed codes, shape ``(rows, cols)``.
        steps: Name to the rows' steps, shape ``(rows,)``.

    Returns:
        For each row the square of its step, its tensor's name, its number, and how
        many ones it holds, sorted in this order.

    """
    found = []
    for name, matrix in codes.items():
        ones = (matrix.abs() == 1).sum(dim=1).tolist()
        squares = steps[name].float().square().tolist()
        found += [(squares[r], name, r, count) for r, count in enumerate(ones) if count]
    return sorted(found)
