"""The audit of artpack's own evaluations: looking for what is illegal about a score."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artpack.api.audit_result import AuditFindings, AuditReport
from artpack.api.eval_models import EvalSource, ModelOptions, with_models
from artpack.api.eval_options import AuditOptions, TttOptions, WindowOptions
from artpack.api.eval_run import EvalRun
from artpack.api.eval_tokens import (
    PathLike,
    ScoredTokens,
    Sidecar,
    Tokenizer,
    checked_ids,
    read_eval_tokens,
)
from artpack.api.eval_ttt import choose_ttt
from artpack.api.sources import check_device
from artpack.errors import UsageError
from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.audit.denominator import judge_bytes
from artpack.evaluation.audit.overlap import judge_overlap
from artpack.evaluation.audit.run import audit_evaluator
from artpack.evaluation.audit.sample import Sample
from artpack.evaluation.audit.size import judge_size
from artpack.evaluation.ngram.mixing import check_mixer
from artpack.evaluation.scoring.evaluators import Evaluator, Mixed, Windowed
from artpack.evaluation.tokens.shards import find_shards
from artpack.evaluation.ttt.evaluator import Adapting, check_left_to_right
from artpack.evaluation.ttt.recipe import AnyRecipe, OverStream
from artpack.models import GPT, ModelConfig
from artpack.runners.settings import REFERENCE, Settings
from artpack.stages.progress import Progress

FEWEST_TOKENS = 4096
"""How many tokens are audited, unless told otherwise or one chunk of learning is longer."""

_SHARES = (0.001, 0.01, 0.1)
"""Of targets with a fault, for which it is said how likely the sample misses it."""


def audit_weights(
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
    settings: Settings = REFERENCE,
    progress: Progress | None = None,
) -> AuditReport:
    """
    Look for what is illegal about a score.

    The evaluation is run as it is, and again with other tokens from some places on:
    nothing before may change. To pass means that nothing was found in the sample.

    Args:
        source: The weights: an artifact, a checkpoint, a state dict or a module of ours.
        tokens: What is scored: files, or an array of ids (tokens,).
        tokenizer: The SentencePiece model of the tokens.
        sidecar: Bytes per token; CaseOps tokens need them.
        windows: What is run and scored; without a limit, a prefix is audited.
        ttt: How the model learns while it is scored, or its recipe; None if it does not.
        ngram: How n-grams are mixed in, ``learned`` or ``published``; None if they are not.
        sample: How many places are tried, and how they are drawn.
        train_tokens: What the model was trained on, shards or an array; None leaves the check out.
        limit_bytes: What artifact and code may have together; None leaves the check out.
        code_bytes: Bytes of code that count.
        model: The weights' model, a config, preset or file; None to find it.
        key: Where in a file of ``torch.save`` the weights are.
        strip_prefix: What to take off their names.
        faithful: Keep the defects of a published model.
        settings: Device, precision and batch size.
        progress: Told how far it is.

    Returns:
        A finding for each condition, and how likely the sample misses what.

    Raises:
        ArtifactError: The artifact is damaged, hostile, or of another version.
        CheckpointError: The weights are not usable.
        RecipeError: There is no such recipe of test-time training, or it is wrong.
        UsageError: The model is not known, the tokens are not for it, or arguments do not
            go together.
        ScoreError: Some score is no finite number.

    """
    learning = TttOptions(recipe=ttt) if isinstance(ttt, str) else ttt
    options = AuditOptions(
        sample=sample or Sample(),
        train_tokens=train_tokens,
        limit_bytes=limit_bytes,
        code_bytes=code_bytes,
    )
    check_device(settings.device)
    found = ModelOptions(
        model=model,
        key=key,
        strip_prefix=strip_prefix,
        faithful=faithful,
        device=settings.device,
    )
    read = read_eval_tokens(tokens, tokenizer, sidecar, check=False, faithful=faithful)
    inputs = with_models(read, source, None, found)
    run = EvalRun(
        inputs,
        (windows or WindowOptions()).resolved(inputs.max_tokens),
        settings,
        faithful,
        progress,
    )
    return AuditReport(
        findings=audit_run(run, options, ttt=learning, ngram=ngram),
        windows=run.windows,
        settings=settings,
        recipe=None if learning is None else choose_ttt(learning, run),
        ngram=ngram,
        faithful=faithful,
        sha256=inputs.sha256,
        notes=inputs.notes,
    )


def audit_run(
    run: EvalRun, options: AuditOptions, *, ttt: TttOptions | None, ngram: str | None
) -> AuditFindings:
    """
    Audit how a model is scored.

    Args:
        run: One model, and tokens; without a limit, a prefix of them is audited.
        options: How much is looked at, and what else.
        ttt: How the model learns on the way; None if it does not.
        ngram: How n-grams are mixed in; None if they are not.

    Returns:
        The findings.

    Raises:
        UsageError: There is not one model, or options do not go together.

    """
    if not run.inputs.models:
        raise UsageError("nothing to audit: give `source`")
    if len(run.inputs.models) != 1:
        raise UsageError("one model is audited at a time: leave `baseline` out")
    if ttt is not None:
        ttt.check_auditable()
    run.check()
    recipe = None if ttt is None else choose_ttt(ttt, run).recipe
    evaluator = _evaluator(run, recipe, ngram)
    stream = run.inputs.stream.first(run.windows.limit_tokens or _enough(recipe))
    exact = run.settings.device == "cpu" and run.settings.precision == "fp32"
    more, hashes = _judge_files(run, options)
    conditions = audit_evaluator(
        evaluator, stream, options.sample, exact=exact, progress=run.progress
    )
    targets = int(stream.ids.size) - 1
    return AuditFindings(
        conditions=(*conditions, *more),
        sample=options.sample,
        audited_targets=targets,
        missed=tuple(options.sample.missed(share, targets) for share in _SHARES),
        sha256=hashes,
    )


def _enough(recipe: AnyRecipe | None) -> int:
    """Return how many targets show what there is to see: something is learned before the last."""
    chunk = recipe.chunk_tokens if isinstance(recipe, OverStream) else 0
    return max(FEWEST_TOKENS, 2 * chunk)


def _evaluator(run: EvalRun, recipe: AnyRecipe | None, mixer: str | None) -> Evaluator:
    inputs, settings = run.inputs, run.settings
    model = inputs.models[0]
    evaluator: Evaluator
    if recipe is None:
        evaluator = Windowed(model, run.place, inputs.vocab_size, settings)
    elif isinstance(model, GPT):
        evaluator = Adapting(model, recipe, settings)
    else:
        raise UsageError("`ttt` takes a model of artpack's own, and no `compiled`")
    if mixer is None:
        return evaluator
    check_mixer(mixer)
    if recipe is not None:
        check_left_to_right(recipe)
    return Mixed(evaluator, mixer)


def _judge_files(run: EvalRun, options: AuditOptions) -> tuple[list[Condition], dict[str, str]]:
    """Judge what needs no run: the text, what training has seen of it, and the size."""
    inputs = run.inputs
    if inputs.tokenizer is None:
        raise UsageError(
            "the text behind the tokens is audited with the tokenizer: give `tokenizer`"
        )
    finding, hashes = judge_bytes(inputs.stream, inputs.tokenizer, texts=inputs.texts)
    findings = [finding]
    if options.train_tokens is not None:
        findings.append(judge_overlap(inputs.stream, training_shards(options.train_tokens)))
    if options.limit_bytes is not None:
        if inputs.size_bytes is None:
            raise UsageError("`limit_bytes` counts a file: these weights are in none")
        findings.append(judge_size(inputs.size_bytes, options.code_bytes, options.limit_bytes))
    return findings, hashes


def training_shards(
    tokens: PathLike | NDArray[np.integer],
) -> list[Path | NDArray[np.uint32]]:
    """
    List what a model was trained on.

    Args:
        tokens: Shards, or an array (tokens,).

    Returns:
        Files, or the array.

    """
    return [checked_ids(tokens)] if isinstance(tokens, np.ndarray) else [*find_shards(str(tokens))]


def audit_score(
    run: EvalRun, options: AuditOptions, *, ttt: TttOptions | None, ngram: str | None
) -> AuditFindings:
    """
    Audit a prefix of what an evaluation scores, whatever its limit.

    Args:
        run: The evaluation.
        options: How much is looked at, and what else.
        ttt: How its model learns on the way.
        ngram: How n-grams are mixed in.

    Returns:
        The findings.

    """
    whole = replace(run, windows=replace(run.windows, limit_tokens=None))
    return audit_run(whole, options, ttt=ttt, ngram=ngram)
