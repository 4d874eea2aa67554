"""``artpack import``: another system's container in, an artifact of the same integers out."""

import hashlib
import time
from pathlib import Path

import click

from artpack.coding.profiles import profile_named
from artpack.errors import ArtifactError
from artpack.interop import FORMATS, Container, read_container, repack
from artpack.models.find import Found, find_model, read_model
from artpack.system.atomic import write_atomically

from ..options.outputs import Command, Output, check_output, refuse_inputs
from ..options.shared import json_option, model_option, profile_option
from ..options.targets import check_replaceable, default_target, force_option
from ..render import interop as render_interop
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
    data = file.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    target = output or _target(file, sha256, force=force)
    try:
        container = read_container(data, max_bytes=max_decoded_bytes)
        found = _find_model(container, file, model)
        with progress() as told:
            packed = repack(
                container,
                sha256=sha256,
                model=None if found.config is None else found.config.to_json(),
                profile=profile_named(profile),
                jobs=jobs,
                progress=told,
            )
    except ArtifactError as error:
        raise type(error)(f"{file}: {error}") from error
    size = write_atomically(target, packed.pieces)
    render_interop.import_summary(
        {
            "file": str(file),
            "artifact": str(target),
            "format": container.format,
            "system": FORMATS[container.format].system,
            "sha256": sha256,
            "notes": list(found.notes),
            "tensors": len(container.tensors),
            "bytes_in": len(data),
            "bytes_out": size,
            "bytes_saved": len(data) - size,
            "seconds": round(time.monotonic() - started, 2),
        },
        as_json=as_json,
    )


def _target(file: Path, sha256: str, *, force: bool) -> Path:
    target = default_target(file)
    refuse_inputs(target)
    check_output(target)
    if not force:
        check_replaceable(target, lambda: sha256)
    return target


def _find_model(container: Container, file: Path, asked: str | None) -> Found:
    if asked is not None:
        return Found(read_model(asked, container.shapes), ())
    found = find_model(container.shapes, file)
    if found.config is not None:
        return found
    return Found(
        None, (*found.notes, "the artifact can be unpacked, but not scored without --model")
    )
