"""
Named ways to place windows on a stream: what is meant, and what each published system did.

The published loaders cut the stream to whole windows first, so they skip its last targets;
:meth:`~artpack.evaluation.windows.plan.WindowPlan.coverage` says how many.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from artpack.errors import UsageError
from artpack.evaluation.tokens.documents import by_document, document_spans, packed
from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.windows.plan import WindowPlan
from artpack.evaluation.windows.sliding import (
    Placement,
    full_context,
    rescored_tail,
    sequential,
    sliding,
)
from artpack.stages import nearest
from artpack.stages.dtypes import ByName

StreamPlacement: TypeAlias = Callable[[Tokens, int, int], WindowPlan]
PR1934_ROW_WINDOWS = 32
PR1934_RANKS = 8


def _stream(place: Placement, ids: Tokens, window_tokens: int, stride_tokens: int) -> WindowPlan:
    return place(max(ids.size - 1, 0), window_tokens, stride_tokens)


def _cut(place: StreamPlacement, ids: Tokens, window_tokens: int, stride_tokens: int) -> WindowPlan:
    """Place on as many targets as fill whole windows, as every published loader does."""
    targets = max(ids.size - 1, 0)
    kept = targets // window_tokens * window_tokens
    return replace(place(ids[: kept + 1], window_tokens, stride_tokens), targets=targets)


def _sequential(targets: int, window_tokens: int, _stride_tokens: int) -> WindowPlan:
    return sequential(targets, window_tokens)


def _pr1123(targets: int, window_tokens: int, stride_tokens: int) -> WindowPlan:
    return rescored_tail(targets, window_tokens, stride_tokens, shortest=stride_tokens)


def _pr826_documents(ids: Tokens, window_tokens: int, stride_tokens: int) -> WindowPlan:
    """Leave out what PR 826 does: tokens before the first BOS, and documents of one target."""
    plan = by_document(ids, window_tokens, stride_tokens, place=full_context)
    spans = np.array(document_spans(ids[:-1], 1), np.int64).reshape(-1, 2)
    opened = (ids[spans[:, 0]] == 1) | (not (ids[:-1] == 1).any())
    kept = opened & (spans[:, 1] - spans[:, 0] > 1)
    inside = kept[np.searchsorted(spans[:, 0], plan.windows[:, 0], side="right") - 1]
    return replace(plan, windows=plan.windows[inside], rows=np.arange(int(inside.sum())))


def _pr1934(ids: Tokens, window_tokens: int, _stride_tokens: int) -> WindowPlan:
    rows = PR1934_ROW_WINDOWS * window_tokens
    return packed(ids, window_tokens, rows, ranks=PR1934_RANKS)


PLACEMENTS: ByName[StreamPlacement] = {
    "sequential": partial(_stream, _sequential),
    "sliding": partial(_stream, sliding),
    "documents": by_document,
    "pr2086": partial(_cut, partial(_stream, sliding)),
    "pr576": partial(_cut, partial(_stream, rescored_tail)),
    "pr1123": partial(_cut, partial(_stream, _pr1123)),
    "pr826": partial(_cut, partial(_stream, full_context)),
    "pr826-documents": partial(_cut, _pr826_documents),
    "pr1934-packed": partial(_cut, _pr1934),
}

STRIDELESS = frozenset({"sequential", "pr1934-packed"})
"""Placements whose windows do not overlap."""


def place(
    name: str, ids: Tokens, window_tokens: int, stride_tokens: int, *, bos_id: int = 1
) -> WindowPlan:
    """
    Place windows by name.

    Args:
        name: A key of :data:`PLACEMENTS`.
        ids: The stream.
        window_tokens: Tokens per window.
        stride_tokens: Scored positions per window; :data:`STRIDELESS` ignores it.
        bos_id: The id that starts a document.

    Returns:
        The plan.

    Raises:
        UsageError: There is no such placement, or window or stride are out of range.

    """
    if name not in PLACEMENTS:
        raise UsageError(f"no window placement {name!r}{nearest(name, PLACEMENTS)}")
    if window_tokens < 1:
        raise UsageError(f"window_tokens is {window_tokens}; it must be 1 or more")
    # All that a placement may know of a stream is its length and where documents start.
    starts = (ids == bos_id).view(np.uint8)
    return PLACEMENTS[name](starts, window_tokens, stride_tokens)
