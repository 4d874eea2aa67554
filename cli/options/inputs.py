"""Options that say what is packed: checkpoints, and what is known of the data."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from artpack import CompressInputs

from .shared import EXISTING, choose_device, device_option, key_option, model_option, strip_option

R = TypeVar("R")


def inputs_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the arguments that say what is packed, as one argument ``inputs``."""

    @click.argument("checkpoints", metavar="CHECKPOINT...", type=EXISTING, nargs=-1, required=True)
    @click.option(
        "--calibration",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="What 'artpack calibrate' wrote. With --calibration-tokens, it is written if there"
        " is none yet.",
    )
    @click.option(
        "--calibration-tokens",
        metavar="SHARDS",
        help="Calibrate with these tokens, as 'artpack calibrate' does by default.",
    )
    @click.option(
        "--average",
        type=click.Choice(["mean", "ema"]),
        help="Pack the average of several checkpoints: their mean, or a moving average over"
        " them in the order given.",
    )
    @click.option(
        "--decay",
        type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
        help="Of --average ema: what is kept of the average at each further checkpoint.",
    )
    @key_option
    @strip_option
    @model_option
    @device_option
    @click.option(
        "--include", default="", metavar="REGEX", help="Pack only tensors whose name matches."
    )
    @click.option("--exclude", metavar="REGEX", help="Leave out tensors whose name matches.")
    @click.option(
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Threads; the bytes do not depend on it.",
    )
    @functools.wraps(command)
    def gathered(
        *,
        checkpoints: tuple[Path, ...],
        key: str | None,
        strip_prefix: str | None,
        average: str | None,
        decay: float | None,
        include: str,
        exclude: str | None,
        model: str | None,
        calibration: Path | None,
        calibration_tokens: str | None,
        device: str | None,
        jobs: int,
        **others: Any,
    ) -> R:
        inputs = CompressInputs(
            source=checkpoints,
            key=key,
            strip_prefix=strip_prefix,
            average=average,
            decay=decay,
            include=include,
            exclude=exclude,
            model=model,
            calibration=calibration,
            calibration_tokens=calibration_tokens,
            device=choose_device(device),
            jobs=jobs,
        )
        return command(inputs=inputs, **others)

    return gathered
