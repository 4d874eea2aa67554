"""``artpack submit``: a folder for a contest, scored by its own script."""

from pathlib import Path
from typing import Any

import click

import artpack

from ..main import EXIT_FAULT
from ..options.groups import as_argument
from ..options.outputs import Command, Output
from ..options.scoring import sidecar_option, tokenizer_option, tokens_option, windows_options
from ..options.shared import EXISTING, artifact_argument, device_option, json_option, output_option
from ..options.sizes import Size
from ..render import submit as render
from ..render.progress import progress


def _settings(**given: Any) -> "artpack.Settings":
    return artpack.Settings(**given)


@click.command(cls=Command, needs="artpack.api.submit")
@artifact_argument
@output_option("A folder, missing or empty.", type=Output(folder=True), metavar="DIR")
@click.option(
    "--train-script", type=EXISTING, required=True, help="What the model was trained by; it counts."
)
@tokens_option
@tokenizer_option(required=True)
@sidecar_option
@windows_options(fewest_tokens=1, limit="Score the first so many; by default all.")
@click.option(
    "--limit",
    "limit_bytes",
    type=Size(),
    default=16_000_000,
    show_default=True,
    help="What artifact and code may have together.",
)
@click.option("--name", help="Of the submission; by default the folder's.")
@click.option("--author", default="", help="Whose it is.")
@as_argument("settings", _settings, device_option)
@json_option
def submit(*, artifact: Path, output: Path, as_json: bool, **settings: Any) -> int:
    """
    Make a folder of ARTIFACT for a contest.

    It has one script that decodes and scores ARTIFACT without artpack. The score is what
    this script gave, and artpack's own to 1e-6. All files count but README.md,
    submission.json and requirements.txt. Exit code 1 if the audit of the score fails.
    """
    with progress() as told:
        result = artpack.submit(artifact, output, progress=told, **settings)
    render.report(result, as_json=as_json)
    return 0 if result.passed else EXIT_FAULT
