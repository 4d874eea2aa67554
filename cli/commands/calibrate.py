"""``artpack calibrate``: what quantizers need to know of the data, in one file."""

import time
from pathlib import Path
from typing import Literal

import click

import artpack
from artpack.api.tokens import LIMIT_TOKENS
from artpack.calibration.collect import CALIBRATION
from artpack.calibration.file import write_calibration
from artpack.runners.settings import Settings
from artpack.system.ranks import Ranks, joined

from ..options.outputs import Command, Output
from ..options.shared import (
    EXISTING,
    checkpoint_argument,
    choose_device,
    device_option,
    json_option,
    key_option,
    model_option,
    precision_option,
    strip_option,
)
from ..render import calibrate as render
from ..render.progress import progress


@click.command(cls=Command)
@checkpoint_argument
@click.option(
    "-o",
    "--output",
    type=Output(),
    required=True,
    help="The calibration, a file of safetensors.",
)
@click.option(
    "--tokens",
    metavar="FILE",
    help="What to run: token shards (quote a pattern with *), .npy arrays, or a .txt"
    " of UTF-8 text with NUL between its documents.",
)
@click.option(
    "--tokenizer",
    type=EXISTING,
    metavar="FILE",
    help="The SentencePiece model of the tokens; text needs it.",
)
@click.option(
    "--self-generate",
    "self_generated",
    type=click.IntRange(min=1),
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
    type=click.IntRange(min=1),
    default=LIMIT_TOKENS,
    show_default=True,
    help="Run no more tokens than this, in windows spread evenly over FILE.",
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
@model_option
@key_option
@strip_option
@device_option
@precision_option
@click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    default=CALIBRATION.batch_tokens,
    show_default=True,
    help="Tokens a pass.",
)
@json_option
def calibrate(
    *,
    checkpoint: Path,
    output: Path,
    tokens: str | None,
    tokenizer: Path | None,
    self_generated: int | None,
    temperature: float,
    limit_tokens: int,
    window_tokens: int | None,
    fisher: bool,
    seed: int,
    model: str | None,
    key: str | None,
    strip_prefix: str | None,
    device: str | None,
    precision: Literal["fp32", "bf16"],
    batch_tokens: int,
    as_json: bool,
) -> None:
    """
    Run CHECKPOINT's model over tokens and keep what compress needs to know of them.

    Shared among processes with torchrun --nproc-per-node N -m artpack_cli calibrate ...
    """
    started = time.monotonic()
    with joined(choose_device(device)) as own, progress() as told:
        found = artpack.calibrate(
            checkpoint,
            tokens,
            tokenizer=tokenizer,
            self_generated=self_generated,
            temperature=temperature,
            limit_tokens=limit_tokens,
            window_tokens=window_tokens,
            fisher=fisher,
            seed=seed,
            model=model,
            key=key,
            strip_prefix=strip_prefix,
            settings=Settings(own, precision, batch_tokens),
            progress=told,
        )
        if Ranks.current().rank:
            return
        size = write_calibration(output, found)
    seconds = round(time.monotonic() - started, 2)
    render.summary(found, checkpoint, output, size=size, seconds=seconds, as_json=as_json)
