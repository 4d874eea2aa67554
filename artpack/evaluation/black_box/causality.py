"""C1: what comes later moves no loss."""

from dataclasses import dataclass

import numpy as np

from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.black_box.answer import Losses

_RULE = "no loss changes when tokens after its own are replaced"


@dataclass(frozen=True)
class Trial:
    """
    One altered stream beside the stream as it is.

    Attributes:
        cut: The first token that was replaced.
        moved: How many losses of tokens before it changed.
        first: The first of these tokens; 0 if there is none.
        last: The last of them.
        largest: How much, at most, nats.
    """

    cut: int
    moved: int
    first: int
    last: int
    largest: float


def compare(before: Losses, after: Losses, cut: int, bound: float) -> Trial:
    """
    Compare all losses of the tokens before a cut.

    Args:
        before: Of the stream as it is, shape (tokens - 1,).
        after: Of the altered one.
        cut: The first token that differs.
        bound: Changes up to this are none, nats; 0 asks for the same bits.

    Returns:
        What moved.

    """
    change = np.abs(after[: cut - 1] - before[: cut - 1])
    # Written so that NaN counts as a change; loss i is that of token i + 1.
    moved = np.flatnonzero(~(change <= bound)) + 1
    edges = (int(moved[0]), int(moved[-1])) if moved.size else (0, 0)
    return Trial(cut, moved.size, *edges, float(change.max(initial=0.0)))


def judge_causality(trials: list[Trial], random_cuts: int, bound: float) -> Condition:
    """
    Judge C1.

    Args:
        trials: All that were made.
        random_cuts: How many cuts were drawn at random; the others were chosen.
        bound: What they were compared with.

    Returns:
        The finding.

    """
    exact = "bit for bit" if bound == 0 else f"within {bound:g} nats"
    cuts = {trial.cut for trial in trials}
    return Condition.judge(
        "C1",
        _RULE,
        f"all losses before {len(cuts):,} cuts, {random_cuts:,} of them at random, {exact}",
        (
            f"replacing tokens from {trial.cut:,} on moves {trial.moved:,} losses before, those of"
            f" tokens {trial.first:,} to {trial.last:,}, by up to {trial.largest:.3g} nats"
            for trial in trials
            if trial.moved
        ),
        numbers={
            "largest_change_nats": max((trial.largest for trial in trials), default=0.0),
            "altered_streams": len(trials),
        },
    )
