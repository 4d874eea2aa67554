"""``artpack train``: a recipe and a folder of tokens to a checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import artpack
from artpack.system.ranks import Ranks, joined
from artpack.training.loop import Row
from artpack.training.recipe import training_names
from artpack.training.run_state import STATE_NAME

from ..entry import EXIT_INTERRUPTED
from ..options.outputs import Command, Output
from ..options.shared import FOLDER, choose_device, device_option, json_option
from ..render import train as render
from ..render.plot import draw_curves
from ..render.progress import progress

CURVE_NAME = "curve.svg"
CURVE_POINTS = 100
LINE_SECONDS = 30
"""Without a terminal, a line on stderr this often."""


@click.command(cls=Command)
@click.option(
    "--recipe",
    default="plain",
    show_default=True,
    metavar="NAME|FILE.toml",
    help=f"What to do: {', '.join(training_names())}, or a file.",
)
@click.option(
    "--data", type=FOLDER, required=True, metavar="DIR", help="What 'artpack tokenize' wrote."
)
@click.option(
    "-o",
    "--output",
    type=Output(folder=True),
    required=True,
    metavar="DIR",
    help="Where the checkpoint goes; made if it is missing.",
)
@click.option("--layers", type=click.IntRange(min=1), help="Scale the model to so many layers.")
@click.option("--width", type=click.IntRange(min=2), help="Scale the model to this width.")
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Scale the run to so many steps, with its warm-ups and averages.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recipe: batches.tokens=8192, groups.1.lr=0.01.",
)
@click.option(
    "--held-out-tokens",
    type=click.IntRange(min=2),
    help="Score no more than the first so many held-out tokens.",
)
@device_option
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="bf16",
    show_default=True,
    help="bf16 autocasts; weights and averages are fp32 in both.",
)
@click.option("--resume", is_flag=True, help="Go on from the state in DIR, if there is one.")
@json_option
def train(
    *,
    data: Path,
    output: Path,
    device: str | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """
    Train a model from scratch into ckpt.pt, config.json and train.json.

    Interrupted, it writes its state after the step at hand and goes on with --resume.
    Shared among processes with torchrun --nproc-per-node N -m artpack_cli train ...
    """
    with joined(choose_device(device)) as own:
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
        _draw(output / CURVE_NAME, result.log)
        render.trained(result, as_json=as_json)
    return 0


def _draw(path: Path, log: Sequence[Row]) -> None:
    """Draw the loss, each point the mean of a hundredth of the run."""
    span = max(1, len(log) // CURVE_POINTS)
    parts = [log[start : start + span] for start in range(0, len(log), span)]
    points = [(p[-1]["step"], sum(row["loss"] for row in p) / len(p)) for p in parts]
    draw_curves(path, {"training": points}, x_label="step", y_label="loss, nats per token")
