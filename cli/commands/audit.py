"""``artpack audit``: looks for what is illegal about a score, or wrong with a submission."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import artpack

from ..main import EXIT_FAULT
from ..options.evaluator import CHOOSE, FOR_EVALUATORS, OWN, audit_evaluator, evaluator_options
from ..options.groups import as_argument
from ..options.outputs import Command, Output
from ..options.scoring import (
    WHAT,
    faithful_option,
    ngram_option,
    sidecar_option,
    tokenizer_option,
    windows_options,
)
from ..options.shared import (
    EXISTING,
    POSITIVE,
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
@click.argument("artifact", type=EXISTING, required=False, metavar="ARTIFACT")
@click.option(
    "--tokens", metavar="FILE", help=f"What to score, if a submission does not say it: {WHAT}"
)
@tokenizer_option()
@sidecar_option
@recipe_options
@ngram_option
@windows_options(
    fewest_tokens=2,
    limit="Audit the first so many; by default 4,096, or two chunks of --ttt; of an --evaluator"
    " all.",
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
@evaluator_options
@json_option
@click.option("--html", type=Output(), metavar="FILE", help="Write one self-contained page, too.")
@click.pass_context
def audit(
    ctx: click.Context,
    /,
    *,
    artifact: Path | None,
    as_json: bool,
    html: Path | None,
    installed: bool,
    **settings: Any,
) -> int:
    """
    Look for what is illegal about the score of ARTIFACT, or wrong with a submission.

    The evaluation is run as it is, and again with other tokens from some places on:
    nothing before may change. Exit code 1 on any violation. To pass means that nothing
    was found in the sample; the report says how likely it misses what.

    ARTIFACT may be a folder of 'artpack submit'. Then its bytes are counted and its script is
    run in a fresh virtual environment, which pip fills with what the folder declares; the
    score must be artpack's to 1e-6. The script is a program: audit only whom you trust.

    Without ARTIFACT it is an --evaluator, or an --evaluator-command, of which nothing is
    known: it is run in fresh processes, on the tokens and on altered ones (docs/AUDIT.md).
    """
    given = _given(ctx)
    if given.keys() & CHOOSE:
        _check_given(ctx, FOR_EVALUATORS, "with an evaluator")
        with progress() as told:
            report: Any = audit_evaluator(given, told)
    elif artifact is None:
        raise click.UsageError("Missing argument 'ARTIFACT', or '--evaluator'.", ctx)
    else:
        _check_given(ctx, ctx.params.keys() - OWN, "without --evaluator or --evaluator-command")
        own = {name: value for name, value in settings.items() if name not in OWN}
        if (artifact / RECORD).is_file():
            return _audit_submission(ctx, artifact, {**own, "installed": installed}, as_json)
        report = _audit_weights(ctx, artifact, own)
    render.report(report, as_json=as_json, html=html)
    return 0 if report.passed else EXIT_FAULT


def _audit_submission(
    ctx: click.Context,
    folder: Path,
    settings: dict[str, Any],
    as_json: bool,  # noqa: FBT001 - passed on as it is
) -> int:
    _check_given(ctx, FOR_SUBMISSIONS, "with a submission")
    own = {name: value for name, value in settings.items() if name in FOR_SUBMISSIONS}
    with progress() as told:
        found = artpack.audit_submission(folder, progress=told, **own)
    render_submission.audited(found, as_json=as_json)
    return 0 if found.passed else EXIT_FAULT


def _audit_weights(
    ctx: click.Context, artifact: Path, settings: dict[str, Any]
) -> "artpack.AuditReport":
    _check_given(ctx, ctx.params.keys() - {"installed"}, "without a submission")
    for name in ("tokens", "tokenizer"):
        if settings[name] is None:
            raise click.UsageError(f"Missing option '--{name}'.", ctx)
    with progress() as told:
        return artpack.audit(artifact, progress=told, **settings)


def _given(ctx: click.Context) -> dict[str, Any]:
    """Return what stands on the command line, by name."""
    source = ctx.get_parameter_source
    there = ParameterSource.COMMANDLINE
    return {name: value for name, value in ctx.params.items() if source(name) is there}


def _check_given(ctx: click.Context, allowed: Collection[str], when: str) -> None:
    """Refuse options that would do nothing."""
    given = _given(ctx)
    for param in ctx.command.params:
        if param.name in given and param.name not in allowed:
            said = "ARTIFACT" if param.name == "artifact" else param.opts[0]
            raise click.UsageError(f"{said} has no use {when}.", ctx)
