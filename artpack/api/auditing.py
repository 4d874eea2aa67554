"""The job of ``artpack.audit``: of artpack's own evaluations, or of somebody's evaluator."""

from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from artpack.api.audit import audit_weights
from artpack.api.audit_evaluator import audit_evaluator
from artpack.api.audit_result import AuditReport
from artpack.api.eval_models import EvalSource
from artpack.api.eval_options import TttOptions, WindowOptions
from artpack.api.eval_tokens import PathLike, ScoredTokens, Sidecar, Tokenizer
from artpack.api.evaluator_report import EvaluatorReport
from artpack.errors import UsageError
from artpack.evaluation.audit.sample import Sample
from artpack.evaluation.black_box.plan import ExaminationPlan
from artpack.evaluation.black_box.processes import Command, Function
from artpack.models import ModelConfig
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress

_OF_EVALUATORS = {
    "distribution",
    "evaluator_command",
    "limit_tokens",
    "plan",
    "reference_tokens",
    "vocab_size",
}
_OF_BOTH = {"progress", "sidecar", "tokenizer", "train_tokens"}


@overload
def audit(
    source: EvalSource,
    tokens: ScoredTokens,
    *,
    tokenizer: Tokenizer,
    sidecar: Sidecar | None = None,
    windows: WindowOptions | None = None,
    ttt: TttOptions | str | None = None,
    ngram: str | None = None,
    sample: Sample | None = None,
    train_tokens: PathLike | NDArray[np.integer] | None = None,
    limit_bytes: int | None = None,
    code_bytes: int = 0,
    model: ModelConfig | str | None = None,
    key: str | None = None,
    strip_prefix: str | None = None,
    faithful: bool = False,
    settings: Settings = ...,
    progress: Progress | None = None,
) -> AuditReport: ...


@overload
def audit(
    *,
    tokens: ScoredTokens,
    evaluator: str | None = None,
    evaluator_command: str | None = None,
    distribution: str | None = None,
    tokenizer: Tokenizer | None = None,
    sidecar: Sidecar | None = None,
    vocab_size: int | None = None,
    limit_tokens: int | None = None,
    plan: ExaminationPlan | None = None,
    reference_tokens: PathLike | NDArray[np.integer] | None = None,
    train_tokens: PathLike | NDArray[np.integer] | None = None,
    progress: Progress | None = None,
) -> EvaluatorReport: ...


def audit(
    source: EvalSource | None = None,
    tokens: ScoredTokens | None = None,
    *,
    evaluator: str | None = None,
    **options: Any,
) -> AuditReport | EvaluatorReport:
    """
    Look for what is illegal about a score.

    Of weights that artpack evaluates, see :func:`~artpack.api.audit.audit_weights` for the
    options. Or of somebody's evaluator, ``module:function``, or a command line as
    ``evaluator_command``, which is run in fresh processes on the text and on altered texts;
    see :func:`~artpack.api.audit_evaluator.audit_evaluator`.

    Args:
        source: The weights; None with an evaluator.
        tokens: What is scored.
        evaluator: A function that takes ids (tokens,) and gives losses (tokens - 1,), nats.
        **options: Of either.

    Returns:
        A finding for each condition, and how likely what would be missed.

    Raises:
        UsageError: Arguments do not go together.
        EvaluatorError: The evaluator failed.

    """
    if tokens is None:
        raise UsageError("nothing to score: give `tokens`")
    command = options.pop("evaluator_command", None)
    if evaluator is None and command is None:
        if source is None:
            raise UsageError("nothing to audit: give `source`, `evaluator` or `evaluator_command`")
        _refuse(options, _OF_EVALUATORS, "goes with `evaluator` or `evaluator_command`")
        return audit_weights(source, tokens, **options)
    if source is not None or (evaluator is not None and command is not None):
        raise UsageError("`source`, `evaluator` and `evaluator_command` exclude each other")
    others = options.keys() - _OF_EVALUATORS - _OF_BOTH
    _refuse(options, others, "is not for an evaluator of your own")
    listing = options.pop("distribution", None)
    asked = Command(command) if evaluator is None else Function(evaluator)
    listed = None if listing is None else Function(listing)
    return audit_evaluator(asked, tokens, distribution=listed, **options)


def _refuse(options: dict[str, Any], names: set[str], why: str) -> None:
    wrong = sorted(name for name in names if options.get(name) is not None)
    if wrong:
        raise UsageError(f"`{wrong[0]}` {why}")
