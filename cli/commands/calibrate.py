"""``artpack calibrate``: what quantizers need to know of the data, in one file."""

import time
from pathlib import Path
from typing import Any

import click

import artpack

from ..options.outputs import Command
from ..options.scoring import WHAT
from ..options.shared import (
    EXISTING,
    POSITIVE,
    checkpoint_argument,
    cluster_option,
    device_option,
    json_option,
    model_options,
    output_option,
    reference_option,
)
from ..render import calibrate as render
from ..render.progress import progress
from ..run_folder import run_folder


@click.command(cls=Command, needs="artpack.api.calibrate")
@checkpoint_argument
@output_option("The calibration, a file of safetensors.")
@click.option("--tokens", metavar="FILE", help=f"What to run: {WHAT}")
@click.option(
    "--tokenizer",
    type=EXISTING,
    metavar="FILE",
    help="The SentencePiece model of the tokens; needless where the model has its own.",
)
@click.option(
    "--self-generate",
    "self_generated",
    type=POSITIVE,
    metavar="N",
    help="Instead of --tokens, run N tokens that the model writes itself.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Of --self-generate.",
)
@click.option(
    "--limit-tokens",
    type=POSITIVE,
    help="Run no more tokens than this, in windows spread evenly over FILE; by default"
    " 32,768, and down to 16,384 for large models.",
)
@click.option(
    "--window-tokens",
    type=click.IntRange(min=2),
    help="Tokens a window; by default what the model was trained with.",
)
@click.option(
    "--fisher/--no-fisher",
    default=True,
    show_default=True,
    help="Collect squared gradients too; without them it takes half the time.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of everything that is drawn.",
)
@model_options
@device_option
@reference_option
@cluster_option
@click.option(
    "--batch-tokens", type=POSITIVE, default=2048, show_default=True, help="Tokens a pass."
)
@json_option
def calibrate(
    *,
    checkpoint: Path,
    output: Path,
    device: str,
    precision: Any,
    batch_tokens: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """
    Run CHECKPOINT's model over tokens and keep what compress needs to know of them.

    Shared among GPUs with torchrun --nproc-per-node N -m artpack_cli calibrate ..., and among
    processes of a Dask cluster with --scheduler.
    """
    from artpack.calibration.file import write_calibration
    from artpack.system.ranks import Ranks, joined

    started = time.monotonic()
    with joined(device) as own, run_folder(output) as run:
        how = artpack.Settings(own, precision, batch_tokens)
        with progress(settings["jobs"], run=run) as told:
            found = artpack.calibrate(
                checkpoint, settings=how, run_folder=run, progress=told, **settings
            )
        if Ranks.current().rank:
            return
        size = write_calibration(output, found)
    seconds = round(time.monotonic() - started, 2)
    render.summary(found, checkpoint, output, size=size, seconds=seconds, as_json=as_json)
