"""``artpack compress``: a checkpoint in, an artifact out."""

import math
import time
from dataclasses import asdict
from pathlib import Path

import click

from artpack.artifact.describe import describe
from artpack.artifact.reader import open_artifact
from artpack.atomic import write_atomically
from artpack.coding.profiles import PROFILES, profile_named
from artpack.compress import compress as compress_checkpoint
from artpack.errors import UsageError
from artpack.models.find import Found, find_model, read_model
from artpack.prepare import prepare
from artpack.recipes import DEFAULT_RECIPE, load_recipe
from artpack.selection import Selection, select

from . import render
from .averaging import open_average
from .calibration import obtain
from .notes import limit_note, packing_notes, report_notes, symbols
from .options import (
    EXISTING,
    choose_device,
    device_option,
    json_option,
    key_option,
    model_option,
)


@click.command()
@click.argument("checkpoints", metavar="CHECKPOINT...", type=EXISTING, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The artifact; by default the last CHECKPOINT with the ending .artpack.",
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
@click.option(
    "--calibration",
    "calibration_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What 'artpack calibrate' wrote. With --tokens, it is written if there is none yet.",
)
@click.option(
    "--tokens",
    metavar="SHARDS",
    help="Calibrate with these tokens, as 'artpack calibrate' does by default.",
)
@click.option(
    "--average",
    type=click.Choice(["mean", "ema"]),
    help="Pack the average of several checkpoints: their mean, or a moving average over them"
    " in the order given.",
)
@click.option(
    "--decay",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    help="Of --average ema: what is kept of the average at each further checkpoint.",
)
@key_option
@model_option
@device_option
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
    checkpoints: tuple[Path, ...],
    output: Path | None,
    recipe: str,
    overrides: tuple[str, ...],
    calibration_file: Path | None,
    tokens: str | None,
    average: str | None,
    decay: float | None,
    key: str | None,
    model: str | None,
    device: str | None,
    include: str,
    exclude: str | None,
    profile: str,
    jobs: int,
    deadline_seconds: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Pack CHECKPOINT, or with --average several of them, into one small file."""
    started = time.monotonic()
    if deadline_seconds is not None and math.isnan(deadline_seconds):
        raise click.BadParameter("is not a number", param_hint="--deadline-seconds")
    spec = load_recipe(recipe, overrides)
    last, own = checkpoints[-1], choose_device(device)
    target = output or last.with_suffix(".artpack")
    if target.exists() and any(target.samefile(checkpoint) for checkpoint in checkpoints):
        raise UsageError(f"{target}: the artifact would replace its checkpoint: give another -o")
    with open_average(checkpoints, key=key, average=average, decay=decay) as (source, origin):
        selection = select(source, include=include, exclude=exclude)
        found = _find_model(selection, last, model)
        calibration, more = obtain(
            calibration_file,
            tokens,
            path=last,
            checkpoint=source,
            config=found.config,
            device=own,
        )
        with render.progress("quantizing") as progress:
            prepared = prepare(source, selection, spec, calibration, device=own, progress=progress)
        if calibration is not None:
            origin["calibration"] = calibration.fingerprint
        with render.progress("packing") as progress:
            packed = compress_checkpoint(
                source,
                selection,
                spec,
                prepared=prepared,
                model=None if found.config is None else found.config.to_json(),
                provenance=origin,
                profile=profile_named(profile),
                jobs=jobs,
                deadline_s=deadline_seconds,
                progress=progress,
            )
        notes = [*source.notes, *found.notes, *more]
        notes += packing_notes(packed, selection, spec.name) + report_notes(prepared)
    pieces = packed.pieces()
    notes += limit_note(packed, sum(map(len, pieces)))
    if not dry_run:
        write_atomically(target, pieces)
    summary = {
        "checkpoint": ", ".join(map(str, checkpoints)),
        "artifact": None if dry_run else str(target),
        "recipe": spec.name,
        "notes": notes,
        "bytes_in": sum(info.bytes for info in selection.tensors),
        "bytes_out": sum(map(len, pieces)),
        "weights": sum(info.weights for info in selection.tensors),
        "seconds": round(time.monotonic() - started, 2),
        "reports": {name: asdict(p.report) for name, p in prepared.items() if p.report},
    }
    if not dry_run:
        render.compress_summary(summary, as_json=as_json)
        return
    with open_artifact(b"".join(pieces), max_decoded_bytes=symbols(packed)) as artifact:
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
