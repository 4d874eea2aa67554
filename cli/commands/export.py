"""``artpack export``: an artifact in, another system's container of the same integers out."""

from pathlib import Path

import click

import artpack
from artpack.interop import FORMATS

from ..options.outputs import Command, Output, refuse_inputs
from ..options.shared import artifact_argument, json_option, limit_option
from ..render import interop as render


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
    result = artpack.export_container(
        artifact, name, file_name=output.name, max_decoded_bytes=max_decoded_bytes
    )
    refuse_inputs(output)
    result.save(output)
    render.exported(result, artifact, output, as_json=as_json)
