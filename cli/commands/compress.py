"""``artpack compress``: a checkpoint in, an artifact out."""

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from artpack.artifact.describe import describe
from artpack.artifact.reader import open_artifact
from artpack.coding.profiles import profile_named
from artpack.evaluate.ttt.load import recipe_data, stored_recipe
from artpack.recipes import DEFAULT_RECIPE, FRONTIER_RECIPE, load_recipe
from artpack.stages import Config
from artpack.system.atomic import write_atomically

from ..averaging import open_average
from ..findings import numbers
from ..material import Asked, Material, material_options, open_material
from ..notes import limit_note, packing_notes, report_notes, symbols
from ..options.budget import Goal, budget_options
from ..options.outputs import Command, Output, check_output, refuse_inputs
from ..options.shared import json_option, profile_option
from ..options.targets import check_replaceable, default_target, force_option
from ..packing import Done, Packer, make_judge
from ..render import tables as render


@click.command(cls=Command)
@material_options
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
    help="Learn the scales of each file on the frontier on the --tokens, for so many steps of"
    " 4,096: fewer bytes at equal loss, for minutes. A hundred is a good beginning.",
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
    asked: Asked,
    output: Path | None,
    force: bool,
    recipe: str | None,
    overrides: tuple[str, ...],
    goal: Goal,
    profile: str,
    deadline_seconds: float | None,
    tune_steps: int,
    ttt: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Pack CHECKPOINT, or with --average several of them, into one small file."""
    started = time.monotonic()
    if deadline_seconds is not None and math.isnan(deadline_seconds):
        raise click.BadParameter("is not a number", param_hint="--deadline-seconds")
    default = FRONTIER_RECIPE if asked.has_data or goal.given else DEFAULT_RECIPE
    spec = load_recipe(recipe or default, overrides)
    target = _target(asked, output, force=force, dry_run=dry_run)
    carried = {} if ttt is None else {"ttt": _checked(recipe_data(ttt))}
    with open_material(asked) as material:
        material.origin.update(carried)
        packer = Packer(
            material,
            spec,
            profile_named(profile),
            deadline_s=deadline_seconds,
            tune_steps=tune_steps,
        )
        done = packer.make(goal, make_judge(material, goal.judging))
    pieces = done.packed.pieces()
    if not dry_run:
        write_atomically(target, pieces)
    summary = {
        "checkpoint": ", ".join(map(str, asked.checkpoints)),
        "artifact": None if dry_run else str(target),
        "recipe": spec.name,
        "notes": _notes(material, done, spec.name),
        **_sizes(material, done),
        "seconds": round(time.monotonic() - started, 2),
        "fit": numbers(done, goal),
        "reports": {name: asdict(p.report) for name, p in done.prepared.items() if p.report},
    }
    if not dry_run:
        render.compress_summary(summary, as_json=as_json)
        return
    with open_artifact(b"".join(pieces), max_decoded_bytes=symbols(done.packed)) as artifact:
        render.dry_run(summary, describe(artifact), as_json=as_json)


def _checked(ttt: Config) -> Config:
    stored_recipe(ttt)  # raises where it could not be run
    return ttt


def _target(asked: Asked, output: Path | None, *, force: bool, dry_run: bool) -> Path:
    if output is not None:
        return output
    target = default_target(asked.checkpoints[-1])
    if not dry_run:
        refuse_inputs(target)
        check_output(target)
        if not force:
            check_replaceable(target, lambda: _sha256(asked))
    return target


def _sha256(asked: Asked) -> str | None:
    with open_average(
        asked.checkpoints,
        key=asked.key,
        average=asked.average,
        decay=asked.decay,
        strip_prefix=asked.strip_prefix,
    ) as (source, _):
        return source.sha256


def _sizes(material: Material, done: Done) -> dict[str, int]:
    return {
        "bytes_in": sum(info.bytes for info in material.selection.tensors),
        "bytes_out": sum(map(len, done.packed.pieces())),
        "weights": sum(info.weights for info in material.selection.tensors),
    }


def _notes(material: Material, done: Done, recipe: str) -> list[Any]:
    notes = [*material.notes, *done.notes]
    notes += packing_notes(done.packed, material.selection, recipe) + report_notes(done.prepared)
    return notes + limit_note(done.packed, sum(map(len, done.packed.pieces())))
