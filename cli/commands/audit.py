"""``artpack audit``: looks for what is illegal about a score, by trying and by sampling."""

from pathlib import Path
from typing import Any

import click

import artpack

from ..main import EXIT_FAULT
from ..options.groups import as_argument
from ..options.outputs import Command
from ..options.scoring import (
    faithful_option,
    ngram_option,
    sidecar_option,
    tokenizer_option,
    tokens_option,
    windows_options,
)
from ..options.shared import (
    POSITIVE,
    artifact_argument,
    device_option,
    json_option,
    model_options,
    reference_option,
)
from ..options.ttt import recipe_options
from ..render import audit as render
from ..render.progress import progress

SIZE = click.IntRange(min=0)


def _sample(**given: Any) -> "artpack.Sample":
    return artpack.Sample(**given)


def _settings(**given: Any) -> "artpack.Settings":
    return artpack.Settings(**given)


@click.command(cls=Command, needs="artpack.api.audit")
@artifact_argument
@tokens_option
@tokenizer_option(required=True)
@sidecar_option
@recipe_options
@ngram_option
@windows_options(
    fewest_tokens=2,
    limit="Audit the first so many; by default 4,096, or two chunks of --ttt.",
)
@as_argument(
    "sample",
    _sample,
    click.option(
        "--sample",
        "cuts",
        type=POSITIVE,
        default=3,
        show_default=True,
        help="At how many places to replace what is to come; each takes a run.",
    ),
    click.option("--seed", default=0, show_default=True, help="Of the sample."),
)
@click.option(
    "--train-tokens", metavar="SHARDS", help="Look for the scored documents among these, too."
)
@click.option("--limit-bytes", type=SIZE, help="What ARTIFACT and code may have together.")
@click.option("--code-bytes", type=SIZE, default=0, help="Bytes of code that count.")
@model_options
@faithful_option
@as_argument("settings", _settings, device_option, reference_option)
@json_option
def audit(*, artifact: Path, tokens: str, as_json: bool, **settings: Any) -> int:
    """
    Look for what is illegal about the score of ARTIFACT.

    The evaluation is run as it is, and again with other tokens from some places on:
    nothing before may change. Exit code 1 on any violation. To pass means that nothing
    was found in the sample; the report says how likely it misses what.
    """
    with progress() as told:
        report = artpack.audit(artifact, tokens, progress=told, **settings)
    render.report(report, as_json=as_json)
    return 0 if report.passed else EXIT_FAULT
