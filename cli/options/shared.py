"""
Arguments and options that several commands share; each is spelled and explained once.

``ARTIFACT`` is a packed file, ``CHECKPOINT`` weights in any form that artpack reads. Names
are those of the library's arguments. Nothing of the library is imported here that takes
time, so choices and defaults are spelled out; tests compare them with the library's.
"""

from functools import partial
from pathlib import Path
from typing import Any

import click

import artpack
from artpack.errors import UsageError

from .groups import METHOD, OUTPUT, WEIGHTS, Decorator, as_argument, option_of, together
from .outputs import Output

EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
POSITIVE = click.IntRange(min=1)

artifact_argument = click.argument("artifact", type=EXISTING)
checkpoint_argument = click.argument("checkpoint", type=EXISTING)
key_option = option_of(WEIGHTS)(
    "--key", metavar="K", help="Where the weights are, such as ema.model."
)
strip_option = option_of(WEIGHTS)(
    "--strip-prefix", metavar="PREFIX", help="Take this off the front of names."
)
model_option = option_of(WEIGHTS)(
    "--model", metavar="NAME|FILE", help="A preset, a config, or fields that shapes hide."
)
model_options = together(model_option, key_option, strip_option)
json_option = option_of(OUTPUT)("--json", "as_json", is_flag=True, help="Print JSON.")
profile_option = option_of(METHOD)(
    "--profile",
    type=click.Choice(["fast", "default", "max"]),
    default="default",
    show_default=True,
    metavar="NAME",
    help="Search: fast, default or max.",
)
jobs_option = option_of(METHOD)(
    "--jobs",
    type=POSITIVE,
    metavar="N",
    help="Threads; by default one a core.",
)


def _workers(jobs: int | None, scheduler: str | None) -> Any:
    """Return the number of threads, or a cluster that is left when the command ends."""
    if scheduler is None:
        return jobs
    if jobs is not None:
        raise UsageError("`jobs` are threads here, `scheduler` has workers elsewhere: give one")
    return click.get_current_context().with_resource(artpack.Cluster(scheduler))


scheduler_option = option_of(METHOD)(
    "--scheduler", metavar="ADDRESS", help="Use a Dask cluster: tcp://host:8786."
)
workers_options = as_argument("jobs", _workers, jobs_option, scheduler_option)
cluster_option = as_argument("jobs", partial(_workers, None), scheduler_option)
limit_option = click.option(
    "--max-decoded-bytes",
    type=click.IntRange(min=0),
    help="Refuse a file that decodes to more than this; by default 64 MiB and 256 times its"
    " size. Raise it for a file that you trust.",
)


def set_option(example: str) -> Decorator[Any]:
    """Return the option that changes a recipe."""
    about = f"Change the recipe: {example}."
    return option_of(METHOD)("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=about)


def output_option(about: str, **others: Any) -> Decorator[Any]:
    """Return the option of the file, or the folder, that a command writes."""
    settings = {"type": Output(), "required": True, **others}
    return click.option("-o", "--output", help=about, **settings)


def precision_option(default: str, about: str) -> Decorator[Any]:
    """Return the option of the precision that a model is run in."""
    choice = click.Choice(["fp32", "bf16"])
    return option_of(METHOD)(
        "--precision", type=choice, default=default, show_default=True, help=about
    )


def _device(_ctx: click.Context, _param: click.Parameter, asked: str | None) -> str:
    """Return the device that was asked for, or the best that there is."""
    import torch

    from artpack.api.sources import check_device

    if asked is not None:
        check_device(asked)
        return asked
    return "cuda" if torch.cuda.is_available() else "cpu"


device_option = option_of(METHOD)(
    "--device",
    metavar="DEVICE",
    callback=_device,
    help="As torch names it; by default cuda where it is.",
)
reference_option = precision_option("fp32", "fp32 is the reference, bf16 autocasts.")
