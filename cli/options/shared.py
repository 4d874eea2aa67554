"""
Arguments and options that several commands share; each is spelled and explained once.

``ARTIFACT`` is a packed file, ``CHECKPOINT`` weights in any form that artpack reads.
"""

from pathlib import Path

import click
import torch

from artpack.coding.profiles import PROFILES
from artpack.errors import UsageError

EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

artifact_argument = click.argument("artifact", type=EXISTING)
checkpoint_argument = click.argument("checkpoint", type=EXISTING)
key_option = click.option(
    "--key", metavar="K", help="Where in the checkpoint the weights are, such as ema.model."
)
strip_option = click.option(
    "--strip-prefix",
    metavar="PREFIX",
    help="Take this off the names of the checkpoint's tensors that begin with it, such as model.",
)
model_option = click.option(
    "--model",
    metavar="PRESET|FILE.json",
    help="The model that the weights belong to: one of 'artpack models', a config, or"
    " only the fields that names and shapes do not tell.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
device_option = click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), help="By default cuda where there is one."
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="fp32 is the reference, bf16 autocasts.",
)
profile_option = click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="default",
    show_default=True,
    help="How hard to look for the smallest coding.",
)
limit_option = click.option(
    "--max-decoded-bytes",
    type=click.IntRange(min=0),
    help="Refuse an ARTIFACT that decodes to more symbols than this; by default 64 MiB and"
    " 256 times its size. Raise it for a file that you trust.",
)


def choose_device(asked: str | None) -> str:
    """Return the kind of device that was asked for, or the best that there is."""
    cuda = torch.cuda.is_available()
    if asked == "cuda" and not cuda:
        raise UsageError("--device cuda: this machine has no CUDA device")
    return asked or ("cuda" if cuda else "cpu")
