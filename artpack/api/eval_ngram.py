"""Scores of a model mixed with n-grams of what it has scored."""

import time
from dataclasses import replace

from artpack.api.eval_options import TttOptions
from artpack.api.eval_result import EvalScores
from artpack.api.eval_run import EvalRun
from artpack.api.eval_ttt import choose_ttt, score_learning
from artpack.errors import UsageError
from artpack.evaluation.audit.sample import Sample
from artpack.evaluation.ngram.report import report_ngrams
from artpack.evaluation.scoring.evaluators import Windowed
from artpack.evaluation.scoring.observation import Observed, Recorder
from artpack.evaluation.ttt.evaluator import check_left_to_right
from artpack.evaluation.windows.plan import Coverage


def score_mixed(mixer: str, run: EvalRun, ttt: TttOptions | None) -> EvalScores:
    """
    Score one model mixed with n-grams, and say what else the same tokens score.

    Args:
        mixer: How weights are found, a key of :data:`~artpack.evaluation.ngram.mixing.MIXERS`.
        run: One model, and tokens.
        ttt: How the model learns on the way, if it does.

    Returns:
        The scores.

    Raises:
        RecipeError: There is no such recipe of test-time training, or it is wrong.
        UsageError: Options do not go together, or targets are not scored once each.

    """
    if len(run.inputs.models) != 1:
        raise UsageError("`ngram` scores one model: leave `baseline` out")
    if ttt is not None and (ttt.two_pass or ttt.state is not None):
        raise UsageError("`ngram` takes one whole pass: leave `two_pass` and `state` out")
    started, stream = time.monotonic(), run.stream
    watched = Sample().draw_rows(stream)
    if ttt is None:
        seen, coverage, scores = _still(run, watched)
    else:
        check_left_to_right(choose_ttt(ttt, run).recipe)
        if ttt.attribute:
            return score_learning(ttt, run, mixer=mixer)
        recorder = Recorder(stream.ids, watched, run.inputs.vocab_size)
        scores = score_learning(ttt, run, observer=recorder)
        assert scores.score is not None
        seen, coverage = recorder.observed(run.settings.device), scores.score.coverage
    report = report_ngrams(seen, stream, coverage, mixer=mixer)
    return replace(scores, score=report.mixed, ngram=report, seconds=time.monotonic() - started)


def _still(run: EvalRun, watched: list[int]) -> tuple[Observed, Coverage, EvalScores]:
    run.check()
    stream, inputs = run.stream, run.inputs
    plan = run.place(stream)
    evaluator = Windowed(
        inputs.models[0], lambda _: plan, inputs.vocab_size, run.settings, run.progress
    )
    scores = EvalScores(
        last_window_tokens=int(plan.windows[-1, 1]),
        stream_tokens=int(inputs.stream.ids.size),
    )
    return evaluator(stream, watched), plan.coverage(), scores
