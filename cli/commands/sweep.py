"""``artpack sweep``: bytes against loss, for the frontier and every other recipe."""

from pathlib import Path
from typing import Any

import click

import artpack

from ..options.budget import scoring_options
from ..options.inputs import inputs_options
from ..options.outputs import Command, Output
from ..options.shared import json_option, output_option, profile_option
from ..options.sizes import SizeList
from ..render import sweep as render
from ..render.plot import check_ending
from ..render.progress import progress
from ..run_folder import run_folder


@click.command(cls=Command, needs="artpack.api.sweep")
@inputs_options
@click.option(
    "--budgets",
    type=SizeList(),
    required=True,
    help="Sizes of files on the frontier: 8M,12M,16M.",
)
@output_option("A line for each file that was made.", metavar="FILE.csv")
@click.option(
    "--plot",
    "picture",
    type=Output(),
    metavar="FILE.svg",
    help="The same as a picture: .svg, .png or .pdf.",
)
@click.option("--html", type=Output(), metavar="FILE", help="The same as a page.")
@profile_option
@scoring_options
@json_option
def sweep(
    *,
    budgets: tuple[int, ...],
    output: Path,
    picture: Path | None,
    html: Path | None,
    profile: str,
    scoring: "artpack.Scoring | None",
    as_json: bool,
    **inputs: Any,
) -> None:
    """Pack CHECKPOINT to several budgets and by every recipe, and say what each file costs."""
    if picture is not None:
        check_ending(picture)
    with run_folder(output) as run:
        with progress(inputs["jobs"], run=run) as told:
            curve = artpack.sweep(
                artpack.CompressInputs(**inputs, run_folder=run),
                budgets,
                scoring=scoring,
                profile=profile,
                made=render.made,
                progress=told,
            )
        curve.save(output)
        if picture is not None:
            render.draw(picture, curve)
        if html is not None:
            render.page(html, ", ".join(map(str, inputs["source"])), curve)
    render.report(curve, as_json=as_json)
