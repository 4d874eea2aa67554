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
from ..options.groups import METHOD, OUTPUT, SIZE, option_of
from ..options.inputs import inputs_options
from ..options.outputs import Command, Output, check_output, refuse_inputs
from ..options.shared import json_option, profile_option
from ..options.targets import check_replaceable, default_target, force_option
from ..render import compress as render
from ..render.progress import progress


@click.command(cls=Command)
@inputs_options
@option_of(METHOD)(
    "--recipe",
    metavar="NAME|FILE",
    help=f"By default {FRONTIER_RECIPE} with data or a budget, else {DEFAULT_RECIPE}.",
)
@option_of(METHOD)(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change it: matrices.quantizer.bits=5.",
)
@profile_option
@option_of(METHOD)(
    "--deadline-seconds",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Search no longer; bytes then vary.",
)
@option_of(METHOD)(
    "--ttt",
    metavar="NAME|FILE",
    help="Carry a recipe for 'artpack eval --ttt'.",
)
@budget_options
@option_of(SIZE)(
    "--tune",
    "tune_steps",
    type=click.IntRange(min=0),
    default=0,
    metavar="STEPS",
    help="Learn scales, for minutes: 100 is a good start.",
)
@option_of(OUTPUT)(
    "-o",
    "--output",
    type=Output(),
    help="By default CHECKPOINT with the ending .artpack.",
)
@force_option
@option_of(OUTPUT)("--dry-run", is_flag=True, help="Write nothing: print the bytes of each tensor.")
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
    """
    Pack CHECKPOINT, or with --average several of them, into one small file.

    docs/RECIPES.md explains recipes, budgets, calibration and tuning.
    """
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
