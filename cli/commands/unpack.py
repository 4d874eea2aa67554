"""``artpack unpack``: get the weights back."""

from pathlib import Path

import click

import artpack
from artpack.api.files import DTYPES

from ..options.outputs import Command, Output
from ..options.shared import artifact_argument, limit_option
from ..render import tables as render


@click.command(cls=Command)
@artifact_argument
@click.option(
    "-o",
    "--output",
    type=Output(),
    required=True,
    help="A .safetensors or .pt file.",
)
@click.option(
    "--dtype",
    type=click.Choice(list(DTYPES)),
    help="Of floating-point tensors; by default their own.",
)
@limit_option
def unpack(
    *, artifact: Path, output: Path, dtype: str | None, max_decoded_bytes: int | None
) -> None:
    """Decode ARTIFACT into a file that other tools read."""
    count, size = artpack.unpack(
        artifact,
        output,
        dtype=DTYPES[dtype] if dtype else None,
        max_decoded_bytes=max_decoded_bytes,
    )
    render.unpacked(output, count, size)
