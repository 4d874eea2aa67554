"""``artpack import``: another system's container in, an artifact of the same integers out."""

import hashlib
import time
from pathlib import Path

import click

import artpack

from ..options.outputs import Command, Output, check_output, refuse_inputs
from ..options.shared import json_option, model_option, profile_option
from ..options.targets import check_replaceable, default_target, force_option
from ..render import interop as render
from ..render.progress import progress


@click.command("import", cls=Command)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=Output(),
    help="The artifact; by default FILE with the ending .artpack.",
)
@force_option
@model_option
@profile_option
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads; the bytes do not depend on it.",
)
@click.option(
    "--max-decoded-bytes",
    type=click.IntRange(min=0),
    help="Refuse a FILE of which more than this would have to be decoded; by default 64 MiB"
    " and 256 times its size. Raise it for a file that you trust.",
)
@json_option
def import_(
    *,
    file: Path,
    output: Path | None,
    force: bool,
    model: str | None,
    profile: str,
    jobs: int,
    max_decoded_bytes: int | None,
    as_json: bool,
) -> None:
    """Repack FILE, a container of another system, without changing an integer."""
    started = time.monotonic()
    target = output or _target(file, force=force)
    with progress() as told:
        result = artpack.import_container(
            file,
            model=model,
            profile=profile,
            jobs=jobs,
            max_decoded_bytes=max_decoded_bytes,
            progress=told,
        )
    result.save(target)
    render.imported(
        result, file, target, seconds=round(time.monotonic() - started, 2), as_json=as_json
    )


def _target(file: Path, *, force: bool) -> Path:
    target = default_target(file)
    refuse_inputs(target)
    check_output(target)
    if not force:
        check_replaceable(target, lambda: hashlib.sha256(file.read_bytes()).hexdigest())
    return target
