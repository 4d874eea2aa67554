"""Options that say what is packed: checkpoints, and what is known of the data."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from artpack import CompressInputs

from .groups import DATA, METHOD, WEIGHTS, option_of
from .shared import EXISTING, choose_device, device_option, key_option, model_option, strip_option

R = TypeVar("R")


def inputs_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the arguments that say what is packed, as one argument ``inputs``."""

    @click.argument("checkpoints", metavar="CHECKPOINT...", type=EXISTING, nargs=-1, required=True)
    @option_of(WEIGHTS)("--include", default="", metavar="REGEX", help="Pack only such names.")
    @option_of(WEIGHTS)("--exclude", metavar="REGEX", help="Leave out such names.")
    @key_option
    @strip_option
    @model_option
    @option_of(WEIGHTS)(
        "--average",
        type=click.Choice(["mean", "ema"]),
        help="Pack the average of several checkpoints.",
    )
    @option_of(WEIGHTS)(
        "--decay",
        type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
        metavar="SHARE",
        help="Of --average ema: what each step keeps.",
    )
    @option_of(DATA)(
        "--calibration",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="From 'artpack calibrate', or to be made.",
    )
    @option_of(DATA)(
        "--calibration-tokens",
        metavar="SHARDS",
        help="Calibrate with these tokens.",
    )
    @device_option
    @option_of(METHOD)(
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help="Threads; the bytes stay the same.",
    )
    @option_of(WEIGHTS)(
        "--no-tokenizer",
        is_flag=True,
        help="Leave out the tokenizer of a Hugging Face folder.",
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
        no_tokenizer: bool,
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
            tokenizer_files=not no_tokenizer,
        )
        return command(inputs=inputs, **others)

    return gathered
