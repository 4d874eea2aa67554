"""C1 and C2: distributions know nothing of what is to come, and are distributions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.audit.sample import Sample
from artpack.evaluation.scoring.evaluators import Evaluator
from artpack.evaluation.scoring.observation import Pass
from artpack.evaluation.tokens.stream import Stream

SUM_BOUND = 1e-6
SCORE_BOUND_NATS = 1e-4
"""Scores are computed in float32, whole distributions in float64."""
LOOSE_BOUND = 1e-3
"""On a GPU or in bfloat16: change of a probability, and relative change of a score."""

_CAUSAL = "no distribution changes when its target and what is scored later are replaced"
_NORMAL = (
    f"probabilities are not negative, sum to 1 within {SUM_BOUND:g}, do not depend on the"
    " target, and the score is that of the target"
)


@dataclass(frozen=True)
class Cut:
    """
    One target that was replaced with all that is scored after it.

    Attributes:
        target: It.
        changed: Earlier targets whose score changed, and watched ones, itself included,
            whose distribution did; ascending.
        largest: How much, at most: in a probability, or in a score relative to it.
        blind: Its own distribution is the same.
    """

    target: int
    changed: NDArray[np.int64]
    largest: float
    blind: bool


def try_cut(
    evaluator: Evaluator,
    stream: Stream,
    before: Pass,
    target: int,
    *,
    sample: Sample,
    bound: float,
) -> Cut:
    """
    Replace a target and what is scored after it, evaluate again, and compare.

    Args:
        evaluator: What is audited.
        stream: The tokens as they are.
        before: What it said of them; the target is watched.
        target: Where to cut.
        sample: Draws the tokens.
        bound: Changes up to this are none; 0 asks for the same bits.

    Returns:
        What changed.

    """
    turn = turns(before, stream.ids.size - 1)
    later = turn >= turn[target]
    after = evaluator(sample.replaced(stream, later, before.rows.shape[1]), before.watched.tolist())
    with np.errstate(invalid="ignore"):
        scores = np.abs(np.expm1(after.log_probs - before.log_probs))
    scores[later] = 0
    rows = np.abs(after.rows - before.rows).max(axis=1)
    rows[turn[before.watched] > turn[target]] = 0
    np.maximum.at(scores, before.watched, rows)
    # Written so that NaN counts as a change.
    changed = np.flatnonzero(~(scores <= bound))
    return Cut(target, changed, float(scores.max()), blind=target not in changed)


def turns(seen: Pass, targets: int) -> NDArray[np.int64]:
    """
    Return when each target was first scored.

    Args:
        seen: What an evaluator said.
        targets: Of the stream.

    Returns:
        Number of scores taken before, int64, shape (targets,); of those not scored, all.

    """
    turn = np.full(targets, seen.order.size)
    turn[seen.order[::-1]] = np.arange(seen.order.size)[::-1]
    return turn


def judge_causality(cuts: list[Cut], bound: float) -> Condition:
    """
    Judge C1.

    Args:
        cuts: All that were tried.
        bound: What they were compared with.

    Returns:
        The finding.

    """
    places = ", ".join(f"{cut.target:,}" for cut in cuts)
    exact = "bit for bit" if bound == 0 else f"within {bound:g}"
    return Condition.judge(
        "C1",
        _CAUSAL,
        f"all scores and sampled distributions before targets {places}, {exact}",
        (
            f"replacing what is scored from target {cut.target:,} on changes {cut.changed.size:,}"
            f" distributions, first at target {cut.changed[0]:,}, by up to {cut.largest:.3g}"
            for cut in cuts
            if cut.changed.size
        ),
    )


def judge_normalisation(seen: Pass, stream: Stream, cuts: list[Cut]) -> Condition:
    """
    Judge C2.

    Args:
        seen: What the evaluator said.
        stream: The tokens.
        cuts: All that were tried.

    Returns:
        The finding.

    """
    scored = np.isin(seen.watched, seen.order)
    seen = replace(seen, watched=seen.watched[scored], rows=seen.rows[scored])
    worst = float(np.abs(seen.rows.sum(axis=1) - 1).max(initial=0.0))
    return Condition.judge(
        "C2",
        _NORMAL,
        f"{seen.watched.size:,} distributions over {seen.rows.shape[1]:,} tokens,"
        f" sums within {worst:.1e} of 1",
        _abnormal(seen, stream, cuts),
    )


def _abnormal(seen: Pass, stream: Stream, cuts: list[Cut]) -> Iterator[str]:
    answers = seen.rows[np.arange(seen.watched.size), stream.ids[1:][seen.watched]]
    for target, row, answer in zip(seen.watched.tolist(), seen.rows, answers, strict=True):
        if not abs(row.sum() - 1) <= SUM_BOUND:
            yield f"probabilities at target {target:,} sum to {row.sum():.6g}"
        if not row.min() >= 0:
            yield f"a probability at target {target:,} is {row.min():.3g}"
        claimed = float(np.exp(seen.log_probs[target]))
        if not abs(claimed - answer) <= SCORE_BOUND_NATS * answer:
            yield f"target {target:,} is scored with {claimed:.6g}, its probability is {answer:.6g}"
    for cut in cuts:
        if not cut.blind:
            yield f"the distribution at target {cut.target:,} depends on that target or later ones"
