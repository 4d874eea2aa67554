"""``artpack audit``: looks for what is illegal about a score, by trying and by sampling."""

from pathlib import Path
from typing import Any, Literal

import click

import artpack
from artpack import Sample, Settings, TttOptions, WindowOptions
from artpack.api.audit import FEWEST_TOKENS

from ..main import EXIT_FAULT
from ..options.scoring import (
    faithful_option,
    ngram_option,
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
from ..options.ttt import overrides_option, ttt_option
from ..render import audit as render
from ..render.progress import progress


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
    ttt: str | None,
    overrides: tuple[str, ...],
    window_tokens: int,
    stride_tokens: int | None,
    placement: str,
    limit_tokens: int | None,
    sample: int,
    seed: int,
    device: str | None,
    precision: Literal["fp32", "bf16"],
    as_json: bool,
    **others: Any,
) -> int:
    """
    Look for what is illegal about the score of ARTIFACT.

    The evaluation is run as it is, and again with other tokens from some places on:
    nothing before may change. Exit code 1 on any violation. To pass means that nothing
    was found in the sample; the report says how likely it misses what.
    """
    windows = WindowOptions(
        placement=placement,
        window_tokens=window_tokens,
        stride_tokens=stride_tokens,
        limit_tokens=limit_tokens,
    )
    with progress() as told:
        report = artpack.audit(
            artifact,
            tokens,
            windows=windows,
            ttt=None if ttt is None else TttOptions(recipe=ttt or None, overrides=overrides),
            sample=Sample(cuts=sample, seed=seed),
            settings=Settings(choose_device(device), precision),
            progress=told,
            **others,
        )
    render.report(report, as_json=as_json)
    return 0 if report.passed else EXIT_FAULT
