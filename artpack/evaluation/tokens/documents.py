"""Documents in a stream, and windows that do not see beyond theirs."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.windows.plan import WindowPlan
from artpack.evaluation.windows.sliding import Placement, sliding

DOCUMENT_SEPARATOR = "\0"
"""Between documents of plain text."""


def document_spans(ids: Tokens, bos_id: int) -> list[tuple[int, int]]:
    """
    Cut a stream into documents.

    Args:
        ids: The stream, shape (N,).
        bos_id: The id that starts a document.

    Returns:
        First token and end of each document; tokens before the first BOS are one too.

    >>> document_spans(np.array([7, 1, 5, 5, 1], np.uint16), 1)
    [(0, 1), (1, 4), (4, 5)]

    """
    starts = np.flatnonzero(ids == bos_id).tolist()
    edges = sorted({0, *starts, ids.size}) if ids.size else []
    return list(pairwise(edges))


def by_document(
    ids: Tokens,
    window_tokens: int,
    stride_tokens: int,
    *,
    place: Placement = sliding,
    bos_id: int = 1,
    spans: Sequence[tuple[int, int]] | None = None,
) -> WindowPlan:
    """
    Place windows in each document on its own, so that no context crosses a BOS.

    The next document's BOS is each document's last target.

    Args:
        ids: The stream, shape (targets + 1,).
        window_tokens: Tokens per window.
        stride_tokens: Passed on to ``place``.
        place: How to place windows in one document.
        bos_id: The id that starts a document.
        spans: First target and end of the documents to place windows in; None finds all.

    Returns:
        A plan that scores every target of them as often as ``place`` does: once.

    """
    targets = max(ids.size - 1, 0)
    parts = [np.empty((0, 3), np.int64)]
    for start, stop in document_spans(ids[:targets], bos_id) if spans is None else spans:
        windows = place(stop - start, window_tokens, stride_tokens).windows
        parts.append(windows + np.array([start, 0, 0]))
    windows = np.concatenate(parts)
    return WindowPlan(targets, window_tokens, windows, np.arange(len(windows)))


def packed(
    ids: Tokens, window_tokens: int, row_tokens: int, *, bos_id: int = 1, ranks: int = 1
) -> WindowPlan:
    """
    Pack documents into long rows as PR 1934 does, which drops targets at the end.

    Attention is cut at every BOS, at the start of a row, and after each
    ``window_tokens`` of a segment. Each rank takes its share of the sequences of
    ``window_tokens`` and scores as many as fill whole rows.

    Args:
        ids: The stream, shape (targets + 1,).
        window_tokens: Tokens per sequence, and at most per segment.
        row_tokens: Tokens per row, a multiple of ``window_tokens``.
        bos_id: The id that starts a document.
        ranks: How many processes the original ran, 8 when it was published.

    Returns:
        A plan that scores targets at most once and skips what fills no row.

    Raises:
        UsageError: Rows are not whole sequences.

    """
    if window_tokens < 1 or row_tokens < 1 or row_tokens % window_tokens:
        raise UsageError(f"row_tokens {row_tokens} is no multiple of the window, {window_tokens}")
    targets = max(ids.size - 1, 0)
    sequences, per_row = targets // window_tokens, row_tokens // window_tokens
    edges = [sequences * rank // ranks for rank in range(ranks + 1)]
    shares = [np.arange(low, high - per_row + 1, per_row) for low, high in pairwise(edges)]
    row_starts = np.concatenate(shares) * window_tokens
    starts, lengths = _segments(ids[:targets], row_starts, row_tokens, window_tokens, bos_id)
    rows = np.searchsorted(row_starts, starts, side="right") - 1
    # The extra end, 0, is what row -1 has: nothing before the first row lies inside one.
    inside = starts < np.append(row_starts + row_tokens, 0)[rows]
    windows = np.stack([starts, lengths, np.zeros_like(starts)], axis=1)
    return WindowPlan(targets, row_tokens, windows[inside], rows[inside])


def _segments(
    ids: Tokens, row_starts: NDArray[np.int64], row_tokens: int, longest: int, bos_id: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return start and length of what lies between documents' and rows' edges, cut to size."""
    opens = np.append(ids == bos_id, True)
    opens[[0, *row_starts, *(row_starts + row_tokens)]] = True
    position = np.arange(ids.size)
    opened = np.maximum.accumulate(np.where(opens[:-1], position, 0))
    starts = np.flatnonzero((position - opened) % longest == 0)
    return starts, np.diff(starts, append=ids.size)
