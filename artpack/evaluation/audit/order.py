"""C3 and C4: scored once, before anything learns from it, and in one pass."""

from collections.abc import Iterator

import numpy as np

from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.scoring.observation import Pass
from artpack.evaluation.tokens.stream import Stream


def judge_score_first(seen: Pass, stream: Stream) -> Condition:
    """
    Judge C3, from the journal.

    Args:
        seen: What the evaluator said and wrote down.
        stream: The tokens.

    Returns:
        The finding.

    """
    targets = stream.ids.size - 1
    kind = seen.journal.entries()[:, 0]
    updates = int(np.count_nonzero(kind))
    return Condition.judge(
        "C3",
        "every target is scored exactly once, and nothing learns from it before",
        f"the journal: {kind.size - updates:,} entries of scores and {updates:,} of updates,"
        f" {targets:,} targets",
        (
            f"targets {fault.first:,} to {fault.end:,}: {fault.why}"
            for fault in seen.journal.faults(targets)
        ),
    )


def judge_one_pass(seen: Pass, stream: Stream) -> Condition:
    """
    Judge C4.

    Args:
        seen: What the evaluator said and wrote down.
        stream: The tokens.

    Returns:
        The finding.

    """
    document = np.cumsum(stream.ids[:-1] == stream.bos_id)
    backwards = np.diff(seen.order) <= 0
    apart = "" if not backwards.any() else " in each document, documents side by side or apart"
    return Condition.judge(
        "C4",
        "one pass from left to right: no target is scored again, none before what precedes it",
        f"the order of {seen.order.size:,} scores: left to right{apart}",
        _returns(seen, document),
    )


def _returns(seen: Pass, document: np.ndarray) -> Iterator[str]:
    again = np.flatnonzero(np.bincount(seen.order, minlength=1) > 1)
    if again.size:
        yield f"{again.size:,} targets are scored again, the first is target {again[0]:,}"
    # Documents apart, each in the order in which its targets were scored.
    by_document = np.argsort(document[seen.order], kind="stable")
    order = seen.order[by_document]
    inside = np.diff(document[order]) == 0
    back = np.flatnonzero(inside & (np.diff(order) < 0))
    if back.size:
        at = back[0]
        yield (
            f"{back.size:,} times an earlier target is scored later in a document, first"
            f" target {order[at + 1]:,} after target {order[at]:,}"
        )
