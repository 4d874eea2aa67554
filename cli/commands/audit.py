"""``artpack audit``: looks for what is illegal about a score, by trying and by sampling."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click
import torch

from artpack.evaluate.audit.sample import Sample
from artpack.runners.settings import Settings
from artpack.version import __version__

from ..adapted import chosen_recipe
from ..auditing import FEWEST_TOKENS, Claims, audit_subject
from ..main import EXIT_FAULT
from ..mixing import ngram_option
from ..options.scoring import (
    faithful_option,
    placement_option,
    sidecar_option,
    stride_option,
    tokens_option,
    window_option,
)
from ..options.shared import (
    EXISTING,
    artifact_argument,
    choose_device,
    device_option,
    json_option,
    key_option,
    model_option,
    precision_option,
    strip_option,
)
from ..options.ttt import STORED, Adapting, overrides_option, ttt_option
from ..render import audit as render_audit
from ..scoring import Windows
from ..subject import Source, read_tokens, with_models

BATCH_TOKENS = 16384


@click.command("audit")
@artifact_argument
@tokens_option
@click.option(
    "--tokenizer",
    type=EXISTING,
    required=True,
    metavar="FILE",
    help="The SentencePiece model of the tokens.",
)
@sidecar_option
@ttt_option
@overrides_option
@ngram_option
@window_option
@stride_option
@placement_option
@click.option(
    "--limit-tokens",
    type=click.IntRange(min=2),
    help=f"Audit the first so many; by default {FEWEST_TOKENS:,}, or two chunks of --ttt.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=Sample.cuts,
    show_default=True,
    help="At how many places to replace what is to come; each takes a run.",
)
@click.option("--seed", default=Sample.seed, show_default=True, help="Of the sample.")
@click.option(
    "--train-tokens", metavar="SHARDS", help="Look for the scored documents among these, too."
)
@click.option(
    "--limit-bytes", type=click.IntRange(min=0), help="What ARTIFACT and code may have together."
)
@click.option(
    "--code-bytes", type=click.IntRange(min=0), default=0, help="Bytes of code that count."
)
@model_option
@key_option
@strip_option
@faithful_option
@device_option
@precision_option
@json_option
def audit(
    *,
    artifact: Path,
    tokens: str,
    tokenizer: Path,
    sidecar: str | None,
    ttt: str | None,
    overrides: tuple[str, ...],
    ngram: str | None,
    window_tokens: int,
    stride_tokens: int | None,
    placement: str,
    limit_tokens: int | None,
    sample: int,
    seed: int,
    train_tokens: str | None,
    limit_bytes: int | None,
    code_bytes: int,
    model: str | None,
    key: str | None,
    strip_prefix: str | None,
    faithful: bool,
    device: str | None,
    precision: Literal["fp32", "bf16"],
    as_json: bool,
) -> int:
    """
    Look for what is illegal about the score of ARTIFACT.

    The evaluation is run as it is, and again with other tokens from some places on:
    nothing before may change. Exit code 1 on any violation. To pass means that nothing
    was found in the sample; the report says how likely it misses what.
    """
    windows = Windows(placement, window_tokens, stride_tokens, limit_tokens)
    own = choose_device(device)
    settings = Settings(own, precision, BATCH_TOKENS)
    subject = read_tokens(tokens, tokenizer, sidecar, check=False, faithful=faithful)
    subject = with_models(subject, Source(artifact, None, model, key, strip_prefix, faithful), own)
    named = None
    if ttt is not None:
        asked = Adapting(ttt or STORED, overrides)
        named = chosen_recipe(asked, subject, windows, faithful=faithful)
    found = audit_subject(
        subject,
        Claims(artifact, tokenizer, train_tokens, limit_bytes, code_bytes),
        windows,
        settings,
        Sample(cuts=sample, seed=seed),
        recipe=None if named is None else named.recipe,
        mixer=ngram,
    )
    how = {
        "ttt": None if named is None else named.to_json(),
        "ngram": ngram,
        "faithful": faithful,
        "artpack": __version__,
        "torch": torch.__version__,
    }
    report = {
        "audit": found,
        "settings": asdict(windows) | asdict(settings) | how,
        "sha256": subject.sha256,
        "notes": list(subject.notes),
    }
    render_audit.report(report, as_json=as_json)
    return 0 if found["passed"] else EXIT_FAULT
