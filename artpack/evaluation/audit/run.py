"""The runs of an evaluator that its audit needs."""

from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.audit.distributions import (
    LOOSE_BOUND,
    judge_causality,
    judge_normalisation,
    try_cut,
)
from artpack.evaluation.audit.order import judge_one_pass, judge_score_first
from artpack.evaluation.audit.sample import Sample
from artpack.evaluation.scoring.evaluators import Evaluator
from artpack.evaluation.scoring.summary import check_losses
from artpack.evaluation.tokens.stream import Stream
from artpack.stages.progress import Progress


def audit_evaluator(
    evaluator: Evaluator,
    stream: Stream,
    sample: Sample,
    *,
    exact: bool,
    progress: Progress | None = None,
) -> list[Condition]:
    """
    Check C1 to C4 on an evaluator.

    Args:
        evaluator: What is audited; it is run once and once more for each cut.
        stream: The tokens that it scores.
        sample: How much is looked at.
        exact: Ask for the same bits, as on a CPU in float32; else for the loose bound.
        progress: Told after every run how many there were, and how many there will be.

    Returns:
        The findings.

    Raises:
        UsageError: The stream is too short for the sample.
        ScoreError: Some score is no finite number.

    """
    bound, runs = 0.0 if exact else LOOSE_BOUND, sample.cuts + 1
    places = sample.draw_cuts(stream)
    seen = evaluator(stream, [*places, *sample.draw_rows(stream)])
    check_losses(seen.order, seen.log_probs[seen.order])
    cuts = []
    tell = progress or (lambda _phase, _done, _total: None)
    tell("auditing", 1, runs)
    for number, target in enumerate(places, start=2):
        cuts.append(try_cut(evaluator, stream, seen, target, sample=sample, bound=bound))
        tell("auditing", number, runs)
    return [
        judge_causality(cuts, bound),
        judge_normalisation(seen, stream, cuts),
        judge_score_first(seen, stream),
        judge_one_pass(seen, stream),
    ]
