"""``artpack audit``: looks for what is illegal about a score, or wrong with a submission."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import artpack

from ..main import EXIT_FAULT
from ..options.groups import as_argument
from ..options.outputs import Command
from ..options.scoring import (
    WHAT,
    faithful_option,
    ngram_option,
    sidecar_option,
    tokenizer_option,
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
from ..render import submit as render_submission
from ..render.progress import progress

SIZE = click.IntRange(min=0)
RECORD = "submission.json"
FOR_SUBMISSIONS = (
    *("artifact", "tokens", "tokenizer", "sidecar", "limit_bytes"),
    *("installed", "device", "settings", "as_json"),
)
"""What is asked of a submission; it says the rest itself."""


def _sample(**given: Any) -> "artpack.Sample":
    return artpack.Sample(**given)


def _settings(**given: Any) -> "artpack.Settings":
    return artpack.Settings(**given)


@click.command(cls=Command, needs="artpack.api.audit")
@artifact_argument
@click.option(
    "--tokens", metavar="FILE", help=f"What to score, if a submission does not say it: {WHAT}"
)
@tokenizer_option()
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
@click.option(
    "--installed",
    is_flag=True,
    help="Of a submission: do without a network, with the packages of this Python that it declares"
    " and what these need, and no others.",
)
@model_options
@faithful_option
@as_argument("settings", _settings, device_option, reference_option)
@json_option
@click.pass_context
def audit(
    ctx: click.Context, /, *, artifact: Path, as_json: bool, installed: bool, **settings: Any
) -> int:
    """
    Look for what is illegal about the score of ARTIFACT, or wrong with a submission.

    The evaluation is run as it is, and again with other tokens from some places on:
    nothing before may change. Exit code 1 on any violation. To pass means that nothing
    was found in the sample; the report says how likely it misses what.

    ARTIFACT may be a folder of 'artpack submit'. Then its bytes are counted and its script is
    run in a fresh virtual environment, which pip fills with what the folder declares; the
    score must be artpack's to 1e-6. The script is a program: audit only whom you trust.
    """
    if (artifact / RECORD).is_file():
        _check_given(ctx, FOR_SUBMISSIONS, "with a submission")
        own = {name: value for name, value in settings.items() if name in FOR_SUBMISSIONS}
        with progress() as told:
            found = artpack.audit_submission(artifact, installed=installed, progress=told, **own)
        render_submission.audited(found, as_json=as_json)
        return 0 if found.passed else EXIT_FAULT
    _check_given(ctx, [name for name in ctx.params if name != "installed"], "without a submission")
    for name in ("tokens", "tokenizer"):
        if settings[name] is None:
            raise click.UsageError(f"Missing option '--{name}'.", ctx)
    with progress() as told:
        report = artpack.audit(artifact, progress=told, **settings)
    render.report(report, as_json=as_json)
    return 0 if report.passed else EXIT_FAULT


def _check_given(ctx: click.Context, allowed: Collection[str], when: str) -> None:
    """Refuse options that would do nothing."""
    for param in ctx.command.params:
        name = param.name or ""
        given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in allowed:
            raise click.UsageError(f"{param.opts[0]} has no use {when}.", ctx)
