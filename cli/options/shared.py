"""
Arguments and options that several commands share; each is spelled and explained once.

``ARTIFACT`` is a packed file, ``CHECKPOINT`` weights in any form that artpack reads.
"""

from pathlib import Path

import click
import torch

from artpack.api.sources import check_device
from artpack.coding.profiles import PROFILES

from .groups import METHOD, OUTPUT, WEIGHTS, option_of

EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

artifact_argument = click.argument("artifact", type=EXISTING)
checkpoint_argument = click.argument("checkpoint", type=EXISTING)
key_option = option_of(WEIGHTS)(
    "--key", metavar="K", help="Where the weights are, such as ema.model."
)
strip_option = option_of(WEIGHTS)(
    "--strip-prefix", metavar="PREFIX", help="Take this off the front of names."
)
model_option = option_of(WEIGHTS)(
    "--model",
    metavar="NAME|FILE",
    help="A preset, a config, or fields that shapes hide.",
)
json_option = option_of(OUTPUT)("--json", "as_json", is_flag=True, help="Print JSON.")
device_option = option_of(METHOD)(
    "--device", type=click.Choice(["cpu", "cuda"]), help="By default cuda where there is one."
)
precision_option = option_of(METHOD)(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="fp32 is the reference, bf16 autocasts.",
)
profile_option = option_of(METHOD)(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="default",
    show_default=True,
    metavar="NAME",
    help="Search: fast, default or max.",
)
limit_option = click.option(
    "--max-decoded-bytes",
    type=click.IntRange(min=0),
    help="Refuse an ARTIFACT that decodes to more symbols than this; by default 64 MiB and"
    " 256 times its size. Raise it for a file that you trust.",
)


def choose_device(asked: str | None) -> str:
    """Return the kind of device that was asked for, or the best that there is."""
    if asked is not None:
        check_device(asked)
        return asked
    return "cuda" if torch.cuda.is_available() else "cpu"
