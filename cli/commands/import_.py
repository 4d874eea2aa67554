"""``artpack import``: another system's container in, an artifact of the same integers out."""

import hashlib
import time
from pathlib import Path
from typing import Any

import click

import artpack

from ..options.outputs import Command
from ..options.shared import (
    jobs_option,
    json_option,
    limit_option,
    model_option,
    output_option,
    profile_option,
)
from ..options.targets import checked_target, force_option
from ..render import interop as render
from ..render.progress import progress


@click.command("import", cls=Command, needs="artpack.api.containers")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option("The artifact; by default FILE with the ending .artpack.", required=False)
@force_option
@model_option
@profile_option
@jobs_option
@limit_option
@json_option
def import_(
    *, file: Path, output: Path | None, force: bool, as_json: bool, **settings: Any
) -> None:
    """Repack FILE, a container of another system, without changing an integer."""
    started = time.monotonic()
    target = output or checked_target(
        file, lambda: hashlib.sha256(file.read_bytes()).hexdigest(), force=force
    )
    with progress() as told:
        result = artpack.import_container(file, progress=told, **settings)
    result.save(target)
    seconds = round(time.monotonic() - started, 2)
    render.imported(result, file, target, seconds=seconds, as_json=as_json)
