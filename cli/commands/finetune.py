"""``artpack finetune``: a checkpoint learns on tokens to fit into a budget."""

import time
from pathlib import Path
from typing import Any

import click

import artpack

from ..options.budget import scoring_options
from ..options.groups import DATA, METHOD, OUTPUT, SIZE, option_of
from ..options.outputs import Command, Output
from ..options.shared import (
    EXISTING,
    POSITIVE,
    checkpoint_argument,
    device_option,
    jobs_option,
    json_option,
    model_options,
    profile_option,
)
from ..options.sizes import Size
from ..options.targets import checked_target, force_option
from ..render import compress as render
from ..render.progress import progress
from ..run_folder import run_folder


@click.command(cls=Command, needs="artpack.api.finetune")
@checkpoint_argument
@option_of(DATA)("--tokens", required=True, metavar="SHARDS", help="Training tokens: *.bin.")
@option_of(DATA)(
    "--tokenizer", type=EXISTING, metavar="FILE", help="Their SentencePiece model, for text."
)
@option_of(SIZE)("--budget", type=Size(), help="The most bytes: 16000000, 16M, 15.5MiB.")
@option_of(SIZE)("--code-bytes", type=Size(), default=0, help="Code that counts into the budget.")
@option_of(METHOD)(
    "--steps",
    type=POSITIVE,
    default=100,
    show_default=True,
    help="Batches of 4,096 tokens to learn from.",
)
@option_of(METHOD)(
    "--loss",
    type=click.Choice(["divergence", "next-token", "training"]),
    default="divergence",
    show_default=True,
    help="From the checkpoint; of the text; or that at a training run's rate.",
)
@model_options
@device_option
@jobs_option
@profile_option
@scoring_options
@option_of(OUTPUT)(
    "-o", "--output", type=Output(), help="By default CHECKPOINT with the ending .artpack."
)
@force_option
@json_option
def finetune(
    *, checkpoint: Path, output: Path | None, force: bool, as_json: bool, **settings: Any
) -> None:
    """
    Pack CHECKPOINT into a budget; what is not quantized yet learns on tokens in between.

    Losses are measured on windows that nothing was learned from.
    """
    started = time.monotonic()
    inputs = artpack.CompressInputs(
        source=checkpoint, key=settings["key"], strip_prefix=settings["strip_prefix"]
    )
    target = output or checked_target(checkpoint, inputs.source_sha256, force=force)
    with run_folder(target) as run:
        with progress(run=run) as told:
            result = artpack.finetune(checkpoint, run_folder=run, progress=told, **settings)
        result.save(target)
    render.summary(
        result,
        checkpoint=str(checkpoint),
        artifact=str(target),
        seconds=round(time.monotonic() - started, 2),
        as_json=as_json,
    )
