"""``artpack eval``: what a packed model scores, and what packing cost."""

from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import click
import torch

from artpack.errors import UsageError
from artpack.evaluate.audit.sample import Sample
from artpack.runners.settings import Settings
from artpack.system.ranks import Ranks, joined
from artpack.version import __version__

from ..adapted import adapt_subject, chosen_recipe
from ..auditing import Claims, audit_subject
from ..main import EXIT_FAULT
from ..mixing import mix_subject, ngram_option
from ..options.outputs import Command
from ..options.scoring import (
    faithful_option,
    placement_option,
    sidecar_option,
    stride_option,
    tokenizer_option,
    tokens_option,
    window_option,
)
from ..options.shared import (
    EXISTING,
    FOLDER,
    choose_device,
    device_option,
    json_option,
    key_option,
    model_option,
    precision_option,
    strip_option,
)
from ..options.ttt import Adapting, adapting_options
from ..render import audit as render_audit
from ..render import eval as render_eval
from ..render import ngram as render_ngram
from ..render import ttt as render_adapting
from ..scoring import Windows, score_subject
from ..subject import (
    Source,
    Subject,
    read_hugging_face,
    read_tokens,
    with_compiled_models,
    with_models,
)

BATCH_TOKENS = 16384


@click.command("eval", cls=Command)
@click.argument("artifact", type=EXISTING, required=False)
@tokens_option
@tokenizer_option
@sidecar_option
@click.option(
    "--check-bytes",
    "check",
    is_flag=True,
    help="Decode the tokens and count their bytes again, token by token; exit code 1 if"
    " the counts differ or text is lost. Without ARTIFACT, do only that.",
)
@window_option
@stride_option
@placement_option
@click.option(
    "--limit-tokens", type=click.IntRange(min=1), help="Score no more than the first so many."
)
@click.option(
    "--baseline",
    type=EXISTING,
    metavar="CHECKPOINT",
    help="Score this too, and say how far ARTIFACT is from it.",
)
@model_option
@key_option
@strip_option
@faithful_option
@click.option(
    "--hf",
    type=FOLDER,
    metavar="DIR",
    help="Instead of ARTIFACT, score a causal language model of Hugging Face"
    " (needs pip install 'artpack[hf]').",
)
@device_option
@precision_option
@click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    help=f"Tokens a forward pass; by default {BATCH_TOKENS}, with --hf one window.",
)
@click.option("--compile", "compiled", is_flag=True, help="Run the layers through torch.compile.")
@adapting_options
@ngram_option
@click.option(
    "--audit",
    is_flag=True,
    help="Audit a prefix, too, as 'artpack audit'; exit code 1 if it fails.",
)
@json_option
def eval(  # noqa: A001 - the command's name; LazyGroup looks it up
    *,
    artifact: Path | None,
    tokens: str,
    tokenizer: Path | None,
    sidecar: str | None,
    check: bool,
    window_tokens: int,
    stride_tokens: int | None,
    placement: str,
    limit_tokens: int | None,
    baseline: Path | None,
    model: str | None,
    key: str | None,
    strip_prefix: str | None,
    faithful: bool,
    hf: Path | None,
    device: str | None,
    precision: Literal["fp32", "bf16"],
    batch_tokens: int | None,
    compiled: bool,
    adapting: Adapting | None,
    ngram: str | None,
    audit: bool,
    as_json: bool,
) -> int:
    """
    Score ARTIFACT, or a raw checkpoint, in loss and bits per byte.

    Its model is the one stored in it, or --model, or the config.json beside it.
    Shared among processes with torchrun --nproc-per-node N -m artpack_cli eval ...
    """
    _check_usage(
        artifact,
        hf,
        check=check,
        tokenizer=tokenizer,
        sidecar=sidecar,
        baseline=baseline,
        model=model,
        key=key,
        strip_prefix=strip_prefix,
        faithful=faithful or None,
        audit=audit or None,
    )
    if audit:
        _check_audit(adapting, alone=artifact is not None and baseline is None and not compiled)
    windows = Windows(placement, window_tokens, stride_tokens, limit_tokens)
    with joined(choose_device(device)) as own:
        batch = batch_tokens or (BATCH_TOKENS if hf is None else window_tokens)
        settings = Settings(own, precision, batch)
        if hf is None:
            subject = read_tokens(tokens, tokenizer, sidecar, check=check, faithful=faithful)
        else:
            subject = read_hugging_face(hf, tokens, own, check=check)
        if artifact is not None and subject.sound:
            source = Source(artifact, baseline, model, key, strip_prefix, faithful)
            subject = with_models(subject, source, own)
        if compiled:
            subject = with_compiled_models(subject)
        numbers = {}
        if subject.models and subject.sound:
            numbers = _numbers(
                subject, windows, settings, adapting=adapting, mixer=ngram, faithful=faithful
            )
        if subject.models and subject.sound and audit:
            assert artifact is not None
            assert tokenizer is not None
            recipe = None
            if adapting is not None:
                recipe = chosen_recipe(adapting, subject, windows, faithful=faithful).recipe
            numbers["audit"] = audit_subject(
                subject,
                Claims(artifact, tokenizer),
                replace(windows, limit_tokens=None),
                settings,
                Sample(),
                recipe=recipe,
                mixer=ngram,
            )
        more = {"compile": compiled, "faithful": faithful}
        report = _report(subject, asdict(windows) | asdict(settings) | more)
        if Ranks.current().rank == 0:
            what = str(hf or artifact or tokens)
            found = {"what": what, **numbers, **report}
            render_eval.report(
                found,
                as_json=as_json,
                more=chain(
                    render_adapting.lines(found),
                    render_ngram.lines(found),
                    render_audit.lines(found),
                ),
            )
    legal = "audit" not in numbers or numbers["audit"]["passed"]
    return 0 if subject.sound and legal else EXIT_FAULT


def _numbers(
    subject: Subject,
    windows: Windows,
    settings: Settings,
    *,
    adapting: Adapting | None,
    mixer: str | None,
    faithful: bool,
) -> dict[str, Any]:
    if mixer is not None:
        return mix_subject(mixer, subject, windows, settings, adapting=adapting, faithful=faithful)
    if adapting is not None:
        return adapt_subject(adapting, subject, windows, settings, faithful=faithful)
    return score_subject(subject, windows, settings)


def _check_usage(artifact: Path | None, hf: Path | None, *, check: bool, **others: object) -> None:
    """Check that what is given goes together."""
    if artifact is not None and hf is not None:
        raise UsageError("ARTIFACT and --hf are two models: give one")
    if artifact is None and hf is None and not check:
        raise UsageError("nothing to score: give ARTIFACT or --hf, or --check-bytes")
    given = [f"--{name}" for name, value in others.items() if value is not None]
    if hf is not None and given:
        raise UsageError(
            f"--hf takes no {', '.join(given)}: it counts the bytes of the text itself"
        )
    if artifact is None and others["baseline"] is not None:
        raise UsageError("--baseline is compared with ARTIFACT: give both")


def _check_audit(adapting: Adapting | None, *, alone: bool) -> None:
    """Check that there is one score to audit, and that it was made in one go."""
    if not alone:
        raise UsageError("--audit takes one ARTIFACT, no --baseline or --compile")
    if adapting is not None and (adapting.two_pass or adapting.attribute):
        raise UsageError("--audit takes one score: leave --two-pass and --attribute out")
    if adapting is not None and adapting.state is not None:
        raise UsageError("--audit takes no --resume: what is audited runs from its beginning")


def _report(subject: Subject, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "byte_check": None if subject.check is None else asdict(subject.check),
        "settings": {
            **settings,
            "processes": Ranks.current().world,
            "artpack": __version__,
            "torch": torch.__version__,
        },
        "sha256": subject.sha256,
        "model": None if subject.config is None else subject.config.to_json(),
        "notes": list(subject.notes),
    }
