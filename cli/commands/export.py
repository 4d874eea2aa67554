"""``artpack export``: an artifact in, another system's container of the same integers out."""

from pathlib import Path

import click

from artpack.artifact.reader import open_artifact
from artpack.interop import FORMATS, from_artifact, write_container
from artpack.system.atomic import write_atomically

from ..options.outputs import Command, Output, refuse_inputs
from ..options.shared import artifact_argument, json_option, limit_option
from ..render import interop as render_interop


@click.command(cls=Command)
@artifact_argument
@click.option(
    "--as",
    "name",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="; ".join(f"{name}: {f.about} ({f.system})" for name, f in FORMATS.items()) + ".",
)
@click.option(
    "-o",
    "--output",
    type=Output(inputs_first=True),
    required=True,
    help="The container.",
)
@limit_option
@json_option
def export(
    *, artifact: Path, name: str, output: Path, max_decoded_bytes: int | None, as_json: bool
) -> None:
    """Write the integers of ARTIFACT in the container format of another system."""
    with open_artifact(artifact, max_decoded_bytes=max_decoded_bytes) as opened:
        opened.check_trailer()
        container = from_artifact(opened, name)
    data = write_container(container, name, file_name=output.name)
    refuse_inputs(output)
    size = write_atomically(output, [data])
    render_interop.export_summary(
        {
            "artifact": str(artifact),
            "file": str(output),
            "format": name,
            "system": FORMATS[name].system,
            "tensors": len(container.tensors),
            "bytes_in": artifact.stat().st_size,
            "bytes_out": size,
        },
        as_json=as_json,
    )
