"""
Sliding windows over a stream, without regard to documents.

By default every target is scored exactly once; where a published placement differs, in
what context the tail gets or how often it is scored, there is a function for it.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluation.windows.plan import WindowPlan

Placement: TypeAlias = Callable[[int, int, int], WindowPlan]
"""From targets, window and stride to a plan."""


def sequential(targets: int, window_tokens: int) -> WindowPlan:
    """
    Cut the stream into windows that do not overlap; the last one may be shorter.

    Args:
        targets: Length of the stream minus 1.
        window_tokens: Tokens per window.

    Returns:
        A plan that scores every target once.

    """
    return sliding(targets, window_tokens, window_tokens)


def sliding(targets: int, window_tokens: int, stride_tokens: int) -> WindowPlan:
    """
    Slide a window; the first scores all its positions, each other its last ones.

    The last window keeps its place on the grid and is cut where the stream ends, so
    the placement is that of PR 2086 and, with ``stride_tokens = window_tokens``,
    the sequential one.

    Args:
        targets: Length of the stream minus 1.
        window_tokens: Tokens per window.
        stride_tokens: Distance of two windows, at most ``window_tokens``.

    Returns:
        A plan that scores every target once.

    Raises:
        UsageError: The stride is not between 1 and the window.

    >>> sliding(10, 4, 2).windows.tolist()
    [[0, 4, 0], [2, 4, 2], [4, 4, 2], [6, 4, 2]]
    >>> sliding(5, 4, 4).windows.tolist()
    [[0, 4, 0], [4, 1, 0]]

    """
    _check_stride(window_tokens, stride_tokens)
    context = window_tokens - stride_tokens
    starts = np.arange(0, max(targets - context, 1), stride_tokens)
    lengths = np.minimum(window_tokens, targets - starts)
    return _plan(targets, window_tokens, starts, lengths, np.where(starts == 0, 0, context))


def rescored_tail(
    targets: int, window_tokens: int, stride_tokens: int, *, shortest: int = 1
) -> WindowPlan:
    """
    Slide a window as PRs 576 and 1123 do, which score the last targets many times.

    Windows start on the grid up to the end of the stream; those that the end cuts
    short score their last ``stride_tokens`` positions all the same.

    Args:
        targets: Length of the stream minus 1.
        window_tokens: Tokens per window.
        stride_tokens: Distance of two windows, at most ``window_tokens``.
        shortest: Windows of fewer tokens are left out: 1 in PR 576, the stride in 1123.

    Returns:
        A plan that scores the tail repeatedly.

    Raises:
        UsageError: The stride is not between 1 and the window.

    >>> rescored_tail(6, 4, 2).windows.tolist()
    [[0, 4, 0], [2, 4, 2], [4, 2, 0]]

    """
    _check_stride(window_tokens, stride_tokens)
    starts = np.arange(0, targets, stride_tokens)
    starts = starts[(starts == 0) | (targets - starts >= shortest)]
    lengths = np.minimum(window_tokens, targets - starts)
    first = np.where(starts == 0, 0, np.maximum(lengths - stride_tokens, 0))
    return _plan(targets, window_tokens, starts, lengths, first)


def full_context(targets: int, window_tokens: int, stride_tokens: int) -> WindowPlan:
    """
    Slide a window as PR 826 does: the last one is moved back to keep its length.

    Args:
        targets: Length of the stream minus 1.
        window_tokens: Tokens per window.
        stride_tokens: Distance of two windows, at most ``window_tokens``.

    Returns:
        A plan that scores every target once.

    Raises:
        UsageError: The stride is not between 1 and the window.

    >>> full_context(7, 4, 2).windows.tolist()
    [[0, 4, 0], [2, 4, 2], [3, 4, 3]]

    """
    _check_stride(window_tokens, stride_tokens)
    scored = np.concatenate([[0], np.arange(window_tokens, targets, stride_tokens)])
    ends = np.minimum(np.where(scored == 0, window_tokens, scored + stride_tokens), targets)
    starts = np.maximum(ends - window_tokens, 0)
    return _plan(targets, window_tokens, starts, ends - starts, scored - starts)


def chunked(targets: int, window_tokens: int, chunk_tokens: int) -> WindowPlan:
    """
    Score chunk by chunk, each with the window that ends where the chunk ends.

    This is how PRs 826 and 1934 walk a document when they adapt between chunks.

    Args:
        targets: Length of the stream minus 1.
        window_tokens: Tokens per window, the chunk included.
        chunk_tokens: Scored positions per window, at most ``window_tokens``.

    Returns:
        A plan that scores every target once.

    Raises:
        UsageError: The chunk is not between 1 and the window.

    >>> chunked(7, 4, 3).windows.tolist()
    [[0, 3, 0], [2, 4, 1], [3, 4, 3]]

    """
    _check_stride(window_tokens, chunk_tokens)
    scored = np.arange(0, targets, chunk_tokens)
    ends = np.minimum(scored + chunk_tokens, targets)
    starts = np.maximum(ends - window_tokens, 0)
    return _plan(targets, window_tokens, starts, ends - starts, scored - starts)


def _check_stride(window_tokens: int, stride_tokens: int) -> None:
    if not 1 <= stride_tokens <= window_tokens:
        raise UsageError(
            f"stride_tokens is {stride_tokens}; it must be from 1 to the window, {window_tokens}"
        )


def _plan(
    targets: int,
    row_tokens: int,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    first: NDArray[np.int64],
) -> WindowPlan:
    windows = np.stack([starts, lengths, first], axis=1)[lengths > 0]
    return WindowPlan(targets, row_tokens, windows, np.arange(len(windows)))
