"""``artpack export``: an artifact in, another system's container of the same integers out."""

from pathlib import Path

import click

import artpack

from ..options.outputs import Command, Output, refuse_inputs
from ..options.shared import artifact_argument, json_option, limit_option, output_option
from ..render import interop as render

FORMATS = {
    "per-stream": "five-level payloads, each in xz or lrzip (pr2086)",
    "pergroup": "matrices of one role together, in lrzip (pr1934)",
    "byte-shuffle": "torch.save, bytes shuffled, in Brotli (pr1934)",
    "byte-shuffle-xz": "torch.save, bytes shuffled, in xz (pr1934)",
    "torch-zstd": "torch.save, in zstd (pr576)",
    "torch-lzma": "torch.save, in xz (pr826)",
    "payload-zstd": "torch.save, in zstd (pr826)",
    "payload-zlib": "torch.save, in zlib (pr826)",
    "rans": "torch.save of rANS streams (pr1123)",
}


@click.command(cls=Command, needs="artpack.api.containers")
@artifact_argument
@click.option(
    "--as",
    "name",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="; ".join(f"{name}: {about}" for name, about in FORMATS.items()) + ".",
)
@output_option("The container.", type=Output(inputs_first=True))
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
