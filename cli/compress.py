"""``artpack compress``: a checkpoint in, an artifact out."""

import math
import time
from pathlib import Path

import click

from artpack.artifact.describe import describe
from artpack.artifact.format import max_decoded_bytes
from artpack.artifact.reader import open_artifact
from artpack.atomic import write_atomically
from artpack.checkpoint import open_checkpoint
from artpack.coding.profiles import PROFILES, profile_named
from artpack.compress import Packed
from artpack.compress import compress as compress_checkpoint
from artpack.errors import UsageError
from artpack.models.find import Found, find_model, read_model
from artpack.recipes import DEFAULT_RECIPE, load_recipe
from artpack.selection import Selection, select

from . import render
from .options import checkpoint_argument, json_option, key_option, model_option


@click.command()
@checkpoint_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The artifact; by default CHECKPOINT with the ending .artpack.",
)
@click.option(
    "--recipe",
    default=DEFAULT_RECIPE,
    show_default=True,
    metavar="NAME|FILE.toml",
    help="What to do; see 'artpack recipes'.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recipe: matrices.quantizer.bits=5.",
)
@key_option
@model_option
@click.option(
    "--include", default="", metavar="REGEX", help="Pack only tensors whose name matches."
)
@click.option("--exclude", metavar="REGEX", help="Leave out tensors whose name matches.")
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="default",
    show_default=True,
    help="How hard to look for the smallest coding.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Worker processes; the bytes do not depend on it.",
)
@click.option(
    "--deadline-seconds",
    type=click.FloatRange(min=0),
    help="Stop looking after this long; the bytes then depend on the machine.",
)
@click.option(
    "--dry-run", is_flag=True, help="Do everything but write: print the bytes of each tensor."
)
@json_option
def compress(
    *,
    checkpoint: Path,
    output: Path | None,
    recipe: str,
    overrides: tuple[str, ...],
    key: str | None,
    model: str | None,
    include: str,
    exclude: str | None,
    profile: str,
    jobs: int,
    deadline_seconds: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Pack CHECKPOINT into one small file."""
    started = time.monotonic()
    if deadline_seconds is not None and math.isnan(deadline_seconds):
        raise click.BadParameter("is not a number", param_hint="--deadline-seconds")
    spec = load_recipe(recipe, overrides)
    target = output or checkpoint.with_suffix(".artpack")
    if target.exists() and target.samefile(checkpoint):
        raise UsageError(f"{target}: the artifact would replace its checkpoint: give another -o")
    with open_checkpoint(checkpoint, key=key) as source, render.progress("packing") as progress:
        selection = select(source, include=include, exclude=exclude)
        found = _find_model(selection, checkpoint, model)
        packed = compress_checkpoint(
            source,
            selection,
            spec,
            model=None if found.config is None else found.config.to_json(),
            profile=profile_named(profile),
            jobs=jobs,
            deadline_s=deadline_seconds,
            progress=progress,
        )
        notes = [*source.notes, *found.notes, *_notes(packed, selection, spec.name)]
    pieces = packed.pieces()
    notes += _limit_note(packed, sum(map(len, pieces)))
    if not dry_run:
        write_atomically(target, pieces)
    summary = {
        "checkpoint": str(checkpoint),
        "artifact": None if dry_run else str(target),
        "recipe": spec.name,
        "notes": notes,
        "bytes_in": sum(info.bytes for info in selection.tensors),
        "bytes_out": sum(map(len, pieces)),
        "weights": sum(info.weights for info in selection.tensors),
        "seconds": round(time.monotonic() - started, 2),
    }
    if not dry_run:
        render.compress_summary(summary, as_json=as_json)
        return
    with open_artifact(b"".join(pieces), max_decoded_bytes=_symbols(packed)) as artifact:
        render.dry_run(summary, describe(artifact), as_json=as_json)


def _find_model(selection: Selection, checkpoint: Path, asked: str | None) -> Found:
    if asked is not None:
        return Found(read_model(asked, selection.shapes), ())
    found = find_model(selection.shapes, checkpoint)
    if found.config is not None:
        return found
    return Found(
        None, (*found.notes, "the artifact can be unpacked, but not scored without --model")
    )


def _symbols(packed: Packed) -> int:
    tensors = packed.header.plan.tensors
    return sum(part.rows * part.cols for tensor in tensors for part in tensor.parts)


def _limit_note(packed: Packed, size: int) -> list[str]:
    symbols = _symbols(packed)
    if symbols <= max_decoded_bytes(size):
        return []
    return [f"so small for what it holds that reading needs --max-decoded-bytes {symbols}"]


def _notes(packed: Packed, selection: Selection, recipe: str) -> list[str]:
    notes = []
    if selection.ties:
        pairs = (f"{tie.name} = {tie.target}" for tie in selection.ties)
        notes.append(f"tied, stored once: {', '.join(pairs)}")
    if selection.banks:
        names = (bank.name for bank in selection.banks)
        notes.append(f"banks, stored a layer at a time: {', '.join(names)}")
    if selection.left_out:
        notes.append(f"left out: {', '.join(selection.left_out)}")
    if packed.unused_rules:
        notes.append(f"rules of {recipe} that matched nothing: {', '.join(packed.unused_rules)}")
    if packed.unheard:
        notes.append(
            f"the deadline cut off {packed.unheard} bids: the file may be larger than need be"
        )
    return notes
