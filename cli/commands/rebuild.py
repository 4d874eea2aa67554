"""``artpack rebuild``: make an artifact again, and compare byte for byte."""

from pathlib import Path
from typing import Any

import click

import artpack

from ..main import EXIT_FAULT
from ..options.groups import DATA, METHOD, option_of
from ..options.outputs import Command
from ..options.shared import (
    EXISTING,
    artifact_argument,
    json_option,
    limit_option,
    workers_options,
)
from ..render import rebuild as render
from ..render.progress import progress


@click.command(cls=Command, needs="artpack.api.rebuild")
@artifact_argument
@click.option(
    "--checkpoint",
    type=EXISTING,
    required=True,
    multiple=True,
    help="What it was made of; once for each, in order, where it is an average.",
)
@option_of(DATA)(
    "--calibration",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The calibration that it was made with.",
)
@option_of(DATA)(
    "--calibration-tokens",
    metavar="SHARDS",
    help="Calibrate again with these tokens; those of 'artpack finetune', too.",
)
@option_of(DATA)(
    "--calibration-batches",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="NPZ",
    help="For ONNX graphs: arrays, by input.",
)
@option_of(DATA)(
    "--tokenizer", type=EXISTING, metavar="FILE", help="SentencePiece model, for tokens as text."
)
@option_of(METHOD)(
    "--keep-symbols",
    is_flag=True,
    help="Take what was rounded with data from ARTIFACT; needs no data.",
)
@option_of(METHOD)(
    "--device", metavar="DEVICE", help="As torch names it; by default the kind it was made on."
)
@workers_options
@limit_option
@json_option
def rebuild(*, artifact: Path, checkpoint: tuple[Path, ...], as_json: bool, **settings: Any) -> int:
    """
    Make ARTIFACT again from its checkpoint, and compare byte for byte.

    Recipe, options and the steps that were found are in the artifact: nothing is searched for.
    Exit code 1 if a byte differs; what differs is listed, causes first.
    """
    with progress(settings["jobs"]) as told:
        result = artpack.rebuild(artifact, checkpoint, progress=told, **settings)
    render.report(artifact, result, as_json=as_json)
    return 0 if result.identical else EXIT_FAULT
