"""``artpack unpack``: get the weights back."""

import io
from pathlib import Path

import click
import safetensors.torch
import torch
from torch import Tensor

from artpack.api import load
from artpack.atomic import write_atomically
from artpack.errors import UsageError

from . import render
from .options import artifact_argument, limit_option

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@click.command()
@artifact_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
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
    if output.suffix not in (".safetensors", ".pt"):
        raise UsageError(f"{output}: the ending must be .safetensors or .pt")
    tensors = load(
        artifact, dtype=DTYPES[dtype] if dtype else None, max_decoded_bytes=max_decoded_bytes
    )
    data = _pt(tensors) if output.suffix == ".pt" else _safetensors(tensors)
    size = write_atomically(output, [data])
    render.unpacked(output, len(tensors), size)


def _safetensors(tensors: dict[str, Tensor]) -> bytes:
    # The format knows no ties: tied tensors are written out in full.
    return safetensors.torch.save({name: tensor.clone() for name, tensor in tensors.items()})


def _pt(tensors: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()
