"""``artpack train``: a recipe and a folder of tokens to a checkpoint."""

from pathlib import Path
from typing import Any

import click

import artpack

from ..entry import EXIT_INTERRUPTED
from ..options.outputs import Command, Output
from ..options.shared import (
    FOLDER,
    POSITIVE,
    device_option,
    json_option,
    output_option,
    precision_option,
    set_option,
)
from ..options.sizes import Size
from ..render import train as render
from ..render.progress import progress

CURVE_NAME = "curve.svg"
LINE_SECONDS = 30
"""Without a terminal, a line on stderr this often."""


@click.command(cls=Command, needs="artpack.api.train")
@click.option(
    "--recipe",
    default="plain",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="What to do: plain, pr1123, pr1934, pr2086, pr576, pr826, or a file.",
)
@click.option(
    "--data", type=FOLDER, required=True, metavar="DIR", help="What 'artpack tokenize' wrote."
)
@output_option(
    "Where the checkpoint goes; made if it is missing.", type=Output(folder=True), metavar="DIR"
)
@click.option("--layers", type=POSITIVE, help="Scale the model to so many layers.")
@click.option("--width", type=click.IntRange(min=2), help="Scale the model to this width.")
@click.option(
    "--steps",
    type=POSITIVE,
    help="Scale the run to so many steps, with its warm-ups and averages.",
)
@click.option(
    "--budget", type=Size(), help="Pack while the last 5% is trained: 300K, 16M, 15.5MiB."
)
@set_option("batches.tokens=8192, groups.1.lr=0.01")
@click.option(
    "--held-out-tokens",
    type=click.IntRange(min=2),
    help="Score no more than the first so many held-out tokens.",
)
@device_option
@precision_option("bf16", "bf16 autocasts; weights and averages are fp32 in both.")
@click.option("--resume", is_flag=True, help="Go on from the state in DIR, if there is one.")
@json_option
def train(*, data: Path, output: Path, device: str, as_json: bool, **settings: Any) -> int:
    """
    Train a model from scratch into ckpt.pt, config.json and train.json.

    With a budget also into ckpt.artpack, which has no more bytes than that.
    Interrupted, it writes its state after the step at hand and goes on with --resume.
    Shared among processes with torchrun --nproc-per-node N -m artpack_cli train ...
    """
    from artpack.system.ranks import Ranks, joined
    from artpack.training.run_state import STATE_NAME

    with joined(device) as own:
        first = Ranks.current().rank == 0
        try:
            with progress(line_seconds=LINE_SECONDS) as told:
                result = artpack.train(data, output, device=own, progress=told, **settings)
        except KeyboardInterrupt:
            if not (output / STATE_NAME).exists():
                raise
            if first:
                render.stopped(output)
            return EXIT_INTERRUPTED
    if first:
        render.draw(output / CURVE_NAME, result.log)
        render.trained(result, as_json=as_json)
    return 0
