"""``artpack calibrate``: what quantizers need to know of the data, in one file."""

import time
from pathlib import Path
from typing import Literal

import click

from artpack.calibration.collect import CALIBRATION
from artpack.calibration.file import write_calibration
from artpack.checkpoint import Checkpoint, open_checkpoint
from artpack.checkpoint.selection import select
from artpack.errors import UsageError
from artpack.evaluate.scoring.forward import Settings
from artpack.models import ModelConfig
from artpack.models.find import find_model, read_model
from artpack.system.ranks import Ranks, joined

from ..calibration import LIMIT_TOKENS, Origin, Run, choose_window, read_windows
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
from ..render import tables as render


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
    "written_tokens",
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
    written_tokens: int | None,
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
    origin = Origin(
        tokens, tokenizer, written_tokens, temperature, limit_tokens, window_tokens, seed
    )
    with (
        joined(choose_device(device)) as own,
        open_checkpoint(checkpoint, key=key, strip_prefix=strip_prefix) as source,
    ):
        config, notes = _choose_model(source, checkpoint, model)
        size, more = choose_window(origin, config, checkpoint)
        run = Run.of(source, config, Settings(own, precision, batch_tokens))
        reading = tokens is not None
        windows = read_windows(origin, config, size) if reading else run.write_windows(origin, size)
        found = run.collect(windows, fisher=fisher, seed=seed)
        if Ranks.current().rank:
            return
        summary = {
            "checkpoint": str(checkpoint),
            "calibration": str(output),
            "windows": len(windows),
            "window_tokens": windows.shape[1],
            "tokens": found.tokens,
            "hessians": len(found.hessians),
            "bytes": write_calibration(output, found),
            "seconds": round(time.monotonic() - started, 2),
            "fingerprint": found.fingerprint,
            "notes": [*source.notes, *notes, *more],
        }
        render.calibrate_summary(summary, as_json=as_json)


def _choose_model(
    source: Checkpoint, path: Path, asked: str | None
) -> tuple[ModelConfig, tuple[str, ...]]:
    shapes = select(source).shapes
    if asked is not None:
        return read_model(asked, shapes), ()
    found = find_model(shapes, path)
    if found.config is None:
        raise UsageError(f"{path}: {'; '.join(found.notes)}; say it with --model")
    return found.config, found.notes
