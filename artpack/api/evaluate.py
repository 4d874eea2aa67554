"""The job of ``artpack.evaluate``: the score of a model, and what packing cost."""

from dataclasses import replace

from artpack.api.audit import audit_score
from artpack.api.eval_models import (
    EvalSource,
    ModelOptions,
    name_of,
    transformers_files,
    with_models,
)
from artpack.api.eval_ngram import score_mixed
from artpack.api.eval_options import AuditOptions, TttOptions, WindowOptions
from artpack.api.eval_result import EvalResult, EvalScores
from artpack.api.eval_run import EvalRun, score_windows
from artpack.api.eval_tokens import (
    ScoredTokens,
    Sidecar,
    Tokenizer,
    read_eval_tokens,
    read_model_text,
)
from artpack.api.eval_ttt import score_learning
from artpack.api.sources import check_device
from artpack.errors import UsageError
from artpack.evaluation.ngram.mixing import check_mixer
from artpack.evaluation.tokens.stream import Stream
from artpack.models import ModelConfig
from artpack.runners.hugging_face import fitting
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress
from artpack.system.ranks import Ranks


def evaluate(
    source: EvalSource | None,
    tokens: ScoredTokens,
    *,
    tokenizer: Tokenizer | None = None,
    sidecar: Sidecar | None = None,
    check_bytes: bool = False,
    windows: WindowOptions | None = None,
    baseline: EvalSource | None = None,
    ttt: TttOptions | str | None = None,
    ngram: str | None = None,
    audit: AuditOptions | None = None,
    model: ModelConfig | str | None = None,
    key: str | None = None,
    strip_prefix: str | None = None,
    faithful: bool = False,
    compiled: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> EvalResult:
    """
    Score a model in loss and bits per byte.

    In a torch process group each process runs its share and all return the same.

    Args:
        source: The weights: an artifact, a checkpoint, a state dict, a module of ours, or
            what ``compress`` returned. None to check the bytes alone.
        tokens: What is scored: files, an array of ids (tokens,), or a ``Stream``.
        tokenizer: The SentencePiece model of the tokens. A ``Stream`` does without, and text
            where the model has a tokenizer of its own.
        sidecar: Bytes per token; CaseOps tokens need them.
        check_bytes: Decode the tokens and count their bytes again, token by token. Where
            the counts differ or text is lost, nothing is scored.
        windows: What of the tokens is run and scored.
        baseline: Score these weights too, and say how far ``source`` is from them.
        ttt: How the model learns while it is scored, or its recipe; None if it does not.
        ngram: Mix n-grams of what was scored in, with ``learned`` or ``published`` weights.
        audit: Audit a prefix, too, as ``artpack.audit`` does.
        model: The weights' model, a config, preset or file; None to find it.
        key: Where in a file of ``torch.save`` the weights are.
        strip_prefix: What to take off their names.
        faithful: Keep the defects of a published model; by default it runs as meant.
        compiled: Run the layers through ``torch.compile``.
        settings: Device, precision and batch size; by default the CPU in float32.
        progress: Told how far it is; while a model learns, with the score so far.

    Returns:
        The score with standard errors, and how it was made.

    Raises:
        ArtifactError: The artifact is damaged, hostile, or of another version.
        CheckpointError: The weights are not usable, or not the model's.
        RecipeError: There is no such recipe of test-time training, or it is wrong.
        UsageError: The model is not known, tokens or windows are not for it, or arguments
            do not go together.
        ScoreError: Some score is no finite number.
        KeyboardInterrupt: A signal to stop came; the state of ``ttt``, if there is one, has
            been written.

    >>> import numpy as np, torch
    >>> from artpack.evaluation.tokens.stream import Stream
    >>> from artpack.models import GPT, ModelConfig
    >>> from artpack.models.mechanisms import Rope, Softcap
    >>> model = GPT(ModelConfig(8, 16, 1, 2, 2, 32, Rope(10000.0, 8), Softcap("tanh", 30.0)))
    >>> stream = Stream(np.array([1, 4, 5, 6] * 8, np.uint16), np.ones(32, np.int64))
    >>> found = evaluate(model, stream, windows=WindowOptions(window_tokens=8))
    >>> found.score.coverage.scored
    31

    """
    learning = TttOptions(recipe=ttt) if isinstance(ttt, str) else ttt
    _check(source, ttt=learning, ngram=ngram, audit=audit, baseline=baseline, compiled=compiled)
    if source is None and not check_bytes:
        raise UsageError("nothing to score: give `source`, or `check_bytes`")
    settings = settings or Settings()
    check_device(settings.device)
    options = ModelOptions(
        model=model,
        key=key,
        strip_prefix=strip_prefix,
        faithful=faithful,
        compiled=compiled,
        device=settings.device,
    )
    files = transformers_files(source, options)
    if files is not None:
        _check_other(learning, audit, faithful=faithful)
    if files is not None and tokenizer is None and not isinstance(tokens, Stream):
        read = read_model_text(tokens, files, check=check_bytes)
    else:
        read = read_eval_tokens(tokens, tokenizer, sidecar, check=check_bytes, faithful=faithful)
    inputs = with_models(read, source, baseline, options, files)
    if files is not None:
        settings = replace(settings, batch_tokens=fitting(settings, inputs.vocab_size))
    windows = (windows or WindowOptions()).resolved(inputs.max_tokens)
    run = EvalRun(inputs, windows, settings, faithful, progress)
    scores = _scores(run, learning, ngram) if inputs.scorable else EvalScores()
    findings = None
    if audit is not None and inputs.scorable:
        findings = audit_score(run, audit, ttt=learning, ngram=ngram)
    return EvalResult(
        **vars(scores),
        what=name_of(source, tokens),
        byte_check=inputs.check,
        audit=findings,
        windows=windows,
        settings=settings,
        compiled=compiled,
        faithful=faithful,
        processes=Ranks.current().world,
        sha256=inputs.sha256,
        model=inputs.config,
        notes=inputs.notes,
    )


def _scores(run: EvalRun, ttt: TttOptions | None, ngram: str | None) -> EvalScores:
    if ngram is not None:
        return score_mixed(ngram, run, ttt)
    return score_windows(run) if ttt is None else score_learning(ttt, run)


def _check(
    source: EvalSource | None,
    *,
    ttt: TttOptions | None,
    ngram: str | None,
    audit: AuditOptions | None,
    baseline: EvalSource | None,
    compiled: bool,
) -> None:
    """Check that what is given goes together."""
    if source is None and baseline is not None:
        raise UsageError("`baseline` is compared with `source`: give both")
    if ngram is not None:
        check_mixer(ngram)
    if audit is not None:
        _check_audit(ttt, alone=source is not None and baseline is None and not compiled)


def _check_other(ttt: TttOptions | None, audit: AuditOptions | None, *, faithful: bool) -> None:
    """Check that nothing is asked of a model of transformers that only our own can do."""
    asked = {"ttt": ttt is not None, "audit": audit is not None, "faithful": faithful}
    if names := [f"`{name}`" for name, given in asked.items() if given]:
        raise UsageError(f"{', '.join(names)}: only for models of artpack's own so far")


def _check_audit(ttt: TttOptions | None, *, alone: bool) -> None:
    """Check that there is one score to audit, and that it was made in one go."""
    if not alone:
        raise UsageError("`audit` takes one `source`, no `baseline` or `compiled`")
    if ttt is not None:
        ttt.check_auditable()
