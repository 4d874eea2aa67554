"""``artpack unpack``: get the weights back."""

from pathlib import Path

import click

import artpack

from ..options.outputs import Command
from ..options.shared import artifact_argument, limit_option, output_option
from ..render import inspect as render


@click.command(cls=Command, needs="artpack.api.files")
@artifact_argument
@output_option("A .safetensors, .pt or .onnx file.")
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    help="Of floating-point tensors; by default their own.",
)
@limit_option
def unpack(
    *, artifact: Path, output: Path, dtype: str | None, max_decoded_bytes: int | None
) -> None:
    """Decode ARTIFACT into a file that other tools read."""
    from artpack.api.files import DTYPES

    count, size = artpack.unpack(
        artifact,
        output,
        dtype=DTYPES[dtype] if dtype else None,
        max_decoded_bytes=max_decoded_bytes,
    )
    render.unpacked(output, count, size)
