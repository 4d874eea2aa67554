"""Options that say what is packed: checkpoints, and what is known of the data."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

import artpack

from .groups import DATA, WEIGHTS, option_of, together
from .shared import (
    EXISTING,
    device_option,
    key_option,
    model_option,
    strip_option,
    workers_options,
)

inputs_options = together(
    click.argument("source", metavar="CHECKPOINT...", type=EXISTING, nargs=-1, required=True),
    option_of(WEIGHTS)("--include", default="", metavar="REGEX", help="Pack only such names."),
    option_of(WEIGHTS)("--exclude", metavar="REGEX", help="Leave out such names."),
    key_option,
    strip_option,
    model_option,
    option_of(WEIGHTS)(
        "--average",
        type=click.Choice(["mean", "ema"]),
        help="Pack the average of several checkpoints.",
    ),
    option_of(WEIGHTS)(
        "--decay",
        type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
        metavar="SHARE",
        help="Of --average ema: what each step keeps.",
    ),
    option_of(DATA)(
        "--calibration",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="From 'artpack calibrate', or to be made.",
    ),
    option_of(DATA)("--calibration-tokens", metavar="SHARDS", help="Calibrate with these tokens."),
    option_of(DATA)(
        "--calibration-batches",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="NPZ",
        help="For ONNX graphs: arrays, by input.",
    ),
    device_option,
    workers_options,
    option_of(WEIGHTS)(
        "--no-tokenizer",
        "tokenizer_files",
        is_flag=True,
        default=True,
        flag_value=False,
        help="Leave out the tokenizer of a Hugging Face folder.",
    ),
    option_of(WEIGHTS)(
        "--dequantize", is_flag=True, help="Of an FP8 or MXFP4 checkpoint, pack plain weights."
    ),
)
"""They have the names of the fields of ``CompressInputs``."""


def inputs_of(source: tuple[Path, ...], settings: Mapping[str, Any]) -> "artpack.CompressInputs":
    """Return what is packed, out of all arguments of a command."""
    names = {field.name for field in fields(artpack.CompressInputs)}
    own = {name: value for name, value in settings.items() if name in names}
    return artpack.CompressInputs(source=source, **own)
