"""``artpack compress``: a checkpoint in, an artifact out."""

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

import artpack
from artpack import CompressInputs, Scoring
from artpack.recipes import DEFAULT_RECIPE, FRONTIER_RECIPE

from ..options.budget import budget_options
from ..options.inputs import inputs_options
from ..options.outputs import Command, Output, check_output, refuse_inputs
from ..options.shared import json_option, profile_option
from ..options.targets import check_replaceable, default_target, force_option
from ..render import compress as render
from ..render.progress import progress


@click.command(cls=Command)
@inputs_options
@click.option(
    "-o",
    "--output",
    type=Output(),
    help="The artifact; by default the last CHECKPOINT with the ending .artpack.",
)
@force_option
@click.option(
    "--recipe",
    metavar="NAME|FILE.toml",
    help="What to do; see 'artpack recipes'. By default"
    f" {FRONTIER_RECIPE} where there are tokens, a calibration or a budget, else"
    f" {DEFAULT_RECIPE}.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recipe: matrices.quantizer.bits=5.",
)
@budget_options
@profile_option
@click.option(
    "--deadline-seconds",
    type=click.FloatRange(min=0),
    help="Stop looking after this long; the bytes then depend on the machine.",
)
@click.option(
    "--tune",
    "tune_steps",
    type=click.IntRange(min=0),
    default=0,
    metavar="STEPS",
    help="Learn the scales of each file on the frontier on the --calibration-tokens, for so"
    " many steps of 4,096: fewer bytes at equal loss, for minutes. A hundred is a good beginning.",
)
@click.option(
    "--ttt",
    metavar="NAME|FILE.toml",
    help="Let the artifact carry a recipe of test-time training, for 'artpack eval --ttt'.",
)
@click.option(
    "--dry-run", is_flag=True, help="Do everything but write: print the bytes of each tensor."
)
@json_option
def compress(
    *,
    inputs: CompressInputs,
    output: Path | None,
    force: bool,
    budget: int | None,
    code_bytes: int,
    max_loss_increase: float | None,
    scoring: Scoring | None,
    deadline_seconds: float | None,
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Pack CHECKPOINT, or with --average several of them, into one small file."""
    started = time.monotonic()
    paths = _paths(inputs)
    target = output or _default_target(inputs, paths, force=force, dry_run=dry_run)
    with progress() as told:
        result = artpack.compress(
            **{field.name: getattr(inputs, field.name) for field in fields(inputs)},
            **settings,
            budget=budget,
            code_bytes=code_bytes,
            max_loss_increase=max_loss_increase,
            scoring=scoring,
            deadline_s=deadline_seconds,
            progress=told,
        )
    if not dry_run:
        result.save(target)
    render.summary(
        result,
        checkpoint=", ".join(map(str, paths)),
        artifact=None if dry_run else str(target),
        seconds=round(time.monotonic() - started, 2),
        as_json=as_json,
    )


def _paths(inputs: CompressInputs) -> tuple[Path, ...]:
    assert isinstance(inputs.source, tuple)
    return inputs.source


def _default_target(
    inputs: CompressInputs, paths: tuple[Path, ...], *, force: bool, dry_run: bool
) -> Path:
    target = default_target(paths[-1])
    if not dry_run:
        refuse_inputs(target)
        check_output(target)
        if not force:
            check_replaceable(target, inputs.source_sha256)
    return target
