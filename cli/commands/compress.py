"""``artpack compress``: a checkpoint in, an artifact out."""

import time
from pathlib import Path
from typing import Any

import click

import artpack

from ..options.budget import budget_options
from ..options.groups import METHOD, OUTPUT, SIZE, option_of
from ..options.inputs import inputs_of, inputs_options
from ..options.outputs import Command, Output
from ..options.shared import json_option, profile_option, set_option
from ..options.targets import checked_target, default_target, force_option
from ..render import compress as render
from ..render.progress import progress
from ..run_folder import run_folder

PLANNED = ("recipe", "overrides", "budget", "max_loss_increase")
"""Arguments that a plan hangs on, besides inputs."""


@click.command(cls=Command, needs="artpack.api.compress")
@inputs_options
@option_of(METHOD)(
    "--recipe",
    metavar="NAME|FILE",
    help="By default frontier with data or a budget, else int6.",
)
@set_option("matrices.quantizer.bits=5")
@profile_option
@option_of(METHOD)(
    "--deadline-seconds",
    "deadline_s",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Search no longer; bytes then vary.",
)
@option_of(METHOD)(
    "--portable",
    is_flag=True,
    default=None,
    help="Be read without a library, whatever it costs.",
)
@option_of(METHOD)("--ttt", metavar="NAME|FILE", help="Carry a recipe for 'artpack eval --ttt'.")
@budget_options
@option_of(SIZE)(
    "--tune",
    "tune_steps",
    type=click.IntRange(min=0),
    default=0,
    metavar="STEPS",
    help="Learn meanwhile, for minutes: 100 is good.",
)
@option_of(OUTPUT)(
    "-o", "--output", type=Output(), help="By default CHECKPOINT with the ending .artpack."
)
@option_of(OUTPUT)(
    "--bundle",
    "decoder",
    type=Output(),
    metavar="FILE",
    help="Write a decoder too; it counts into --budget.",
)
@option_of(OUTPUT)(
    "--html", type=Output(), metavar="FILE", help="Write a page: search, bytes, loss by role."
)
@force_option
@option_of(OUTPUT)("--dry-run", is_flag=True, help="Write nothing: print the bytes of each tensor.")
@option_of(OUTPUT)("--plan", "planned", is_flag=True, help="Do nothing: print hours and memory.")
@json_option
def compress(
    *,
    source: tuple[Path, ...],
    output: Path | None,
    decoder: Path | None,
    html: Path | None,
    force: bool,
    dry_run: bool,
    planned: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Pack CHECKPOINT, or the --average of several, into one small file: docs/RECIPES.md."""
    started = time.monotonic()
    if planned:
        own = {key: settings[key] for key in PLANNED}
        render.plan(artpack.plan(inputs_of(source, settings), **own), as_json=as_json)
        return
    if dry_run:
        target = output or default_target(source[-1])
    else:
        inputs = inputs_of(source, settings)
        target = output or checked_target(source[-1], inputs.source_sha256, force=force)
    with run_folder(None if dry_run else target) as run:
        with progress(settings["jobs"], run=run) as told:
            bundle, by_role = decoder is not None, html is not None
            result = artpack.compress(
                source, bundle=bundle, by_role=by_role, run_folder=run, progress=told, **settings
            )
        if not dry_run:
            result.save(target)
            if decoder is not None:
                result.bundle.save(decoder)
        if html is not None:
            render.page(html, target.name, result)
    render.summary(
        result,
        checkpoint=", ".join(map(str, source)),
        artifact=None if dry_run else str(target),
        seconds=round(time.monotonic() - started, 2),
        as_json=as_json,
    )
