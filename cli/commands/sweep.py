"""``artpack sweep``: bytes against loss, for the frontier and every other recipe."""

import csv
import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from artpack.artifact.reader import open_artifact
from artpack.coding.profiles import Profile, profile_named
from artpack.errors import ArtpackError, UsageError
from artpack.evaluate.scoring.divergence import Divergence
from artpack.pack.budget import file_bytes
from artpack.pack.compress import Packed
from artpack.recipes import FRONTIER_RECIPE, load_recipe, recipe_names
from artpack.system.atomic import write_atomically

from ..fitting import divergence_of
from ..judge import Judge
from ..material import Asked, Material, material_options, open_material
from ..notes import symbols
from ..options.budget import Goal, Judging, judging_options
from ..options.outputs import Command, Output
from ..options.shared import json_option, profile_option
from ..options.sizes import Sizes
from ..packing import Packer, make_judge
from ..render import sweep as render_sweep
from ..render.plot import check_ending, draw_curves

Row = dict[str, Any]


class Losses:
    """
    Measures what files lost: on the tokens to be scored, or else on calibration tokens.

    Args:
        material: Checkpoint and what is known of the data.
        judging: What files are scored on.
    """

    def __init__(self, material: Material, judging: Judging | None) -> None:
        self._judge: Judge | None = make_judge(material, judging)
        self._divergence: Divergence | None = None
        if self._judge is None:
            self._divergence = divergence_of(material)
            if self._divergence is None:
                raise UsageError("nothing to measure a loss on: give --tokens or --score-tokens")

    def of(self, packed: Packed) -> Row:
        """Return the numbers of a file."""
        if self._judge is not None:
            found = self._judge.compare(packed)
            increase, kl = found.bits_per_byte_increase, found.kl_nats
            return {
                "kl_nats": kl.value,
                "kl_stderr": kl.stderr,
                "bpb_increase": increase.value,
                "bpb_stderr": increase.stderr,
                "tokens": found.packed.coverage.scored,
            }
        assert self._divergence is not None
        content = b"".join(packed.pieces())
        with open_artifact(content, max_decoded_bytes=symbols(packed)) as artifact:
            names = [tensor.name for tensor in artifact.header.plan.tensors]
            return {"kl_nats": self._divergence({n: artifact.stored_tensor(n) for n in names})}


@click.command(cls=Command)
@material_options
@click.option(
    "--budgets",
    type=Sizes(),
    required=True,
    help="Sizes of files on the frontier: 8M,12M,16M.",
)
@click.option(
    "-o",
    "--output",
    type=Output(),
    required=True,
    metavar="FILE.csv",
    help="A line for each file that was made.",
)
@click.option(
    "--plot",
    "picture",
    type=Output(),
    metavar="FILE.svg",
    help="The same as a picture: .svg, .png or .pdf.",
)
@profile_option
@judging_options
@json_option
def sweep(
    *,
    asked: Asked,
    budgets: tuple[int, ...],
    output: Path,
    picture: Path | None,
    profile: str,
    judging: Judging | None,
    as_json: bool,
) -> None:
    """Pack CHECKPOINT to several budgets and by every recipe, and say what each file costs."""
    if picture is not None:
        check_ending(picture)
    rows, notes = [], []
    with open_material(asked) as material:
        losses = Losses(material, judging)
        for recipe, budget, packer in _files(material, budgets, profile_named(profile)):
            started = time.monotonic()
            try:
                done = packer.make(Goal(budget, 0, None, None))
            except ArtpackError as error:
                notes.append(f"{recipe}: {error}")
                continue
            sizes = {"budget": budget, "bytes": file_bytes(done.packed)}
            timing = {"seconds": round(time.monotonic() - started, 2)}
            rows.append({"recipe": recipe, **sizes, **losses.of(done.packed), **timing})
            render_sweep.made(rows[-1])
    write_atomically(output, [_csv(rows)])
    if picture is not None:
        _draw(picture, rows)
    render_sweep.report(rows, [*material.notes, *notes], as_json=as_json)


def _files(
    material: Material, budgets: tuple[int, ...], profile: Profile
) -> Iterator[tuple[str, int | None, Packer]]:
    frontier = Packer(material, load_recipe(FRONTIER_RECIPE), profile)
    yield from ((FRONTIER_RECIPE, budget, frontier) for budget in budgets)
    for name in recipe_names():
        if name != FRONTIER_RECIPE:
            yield name, None, Packer(material, load_recipe(name), profile)


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _draw(path: Path, rows: Sequence[Row]) -> None:
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        curves.setdefault(row["recipe"], []).append((row["bytes"], row["kl_nats"]))
    draw_curves(path, curves, x_label="bytes", y_label="KL, nats a token", logarithmic=True)
