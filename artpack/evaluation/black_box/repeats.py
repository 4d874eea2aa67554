"""C3 and C4: every token once, and the same losses whenever they are asked for."""

from dataclasses import dataclass

import numpy as np

from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.black_box.answer import Losses

BEGINNING_BOUND = 1e-3
"""Change of a loss, nats, that is none where the stream is shorter: other shapes of matrices
round otherwise, which moves losses of a legal float32 model by 6e-6."""


@dataclass(frozen=True)
class Repeat:
    """
    Losses that were asked for again.

    Attributes:
        how: What was different the second time.
        compared: How many losses.
        changed: How many changed.
        largest: How much, at most, nats.
    """

    how: str
    compared: int
    changed: int
    largest: float


def compare_again(how: str, before: Losses, again: Losses, bound: float) -> Repeat:
    """
    Compare the losses of a beginning of the stream, or of all of it.

    Args:
        how: What was different the second time.
        before: Losses of the stream, shape (tokens - 1,).
        again: The same ones, or the first of them.
        bound: Changes up to this are none, nats.

    Returns:
        What changed.

    """
    change = np.abs(again - before[: again.size])
    if again.size < before.size:
        bound = max(bound, BEGINNING_BOUND)
    changed = int(np.count_nonzero(~(change <= bound)))
    return Repeat(how, again.size, changed, float(change.max(initial=0.0)))


def judge_once(faults: list[str], targets: int, runs: int) -> Condition:
    """
    Judge C3.

    Args:
        faults: What was wrong with losses by themselves.
        targets: Of the stream.
        runs: How many were looked at.

    Returns:
        The finding.

    """
    return Condition.judge(
        "C3",
        "every token but the first gets one finite loss, in its place",
        f"{targets:,} targets, {runs:,} runs",
        faults,
    )


def judge_repeats(repeats: list[Repeat], bound: float) -> Condition:
    """
    Judge C4.

    Args:
        repeats: All that were made.
        bound: What they were compared with.

    Returns:
        The finding.

    """
    exact = "bit for bit" if bound == 0 else f"within {bound:g} nats"
    return Condition.judge(
        "C4",
        "losses are those of one pass: the same again, on a beginning of the stream, and after"
        " another stream in the same process",
        f"{', '.join(repeat.how for repeat in repeats)}; {exact}, beginnings within"
        f" {max(bound, BEGINNING_BOUND):g} nats",
        (
            f"{repeat.how}: {repeat.changed:,} of {repeat.compared:,} losses change, by up to"
            f" {repeat.largest:.3g} nats"
            for repeat in repeats
            if repeat.changed
        ),
        numbers={"largest_change_nats": max((one.largest for one in repeats), default=0.0)},
    )
