"""``artpack unpack``: get the weights back."""

from pathlib import Path

import click

import artpack
from artpack.system.atomic import is_for_folder

from ..options.outputs import Command, Output
from ..options.shared import artifact_argument, limit_option, output_option
from ..render import inspect as render


@click.command(cls=Command, needs="artpack.api.unpacking")
@artifact_argument
@output_option(
    "A .safetensors, .pt or .onnx file, or a new folder for from_pretrained.",
    type=Output(is_for_folder=is_for_folder),
)
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    help="Of floating-point tensors; by default their own.",
)
@limit_option
def unpack(
    *, artifact: Path, output: Path, dtype: str | None, max_decoded_bytes: int | None
) -> None:
    """Decode ARTIFACT into a file, or a folder, that other tools read."""
    from artpack.api.files import DTYPES

    count, size = artpack.unpack(
        artifact,
        output,
        dtype=DTYPES[dtype] if dtype else None,
        max_decoded_bytes=max_decoded_bytes,
    )
    render.unpacked(output, count, size)
