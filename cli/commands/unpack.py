"""``artpack unpack``: get the weights back."""

import io
from pathlib import Path

import click
import safetensors.torch
import torch
from torch import Tensor

from artpack.api import load
from artpack.errors import UsageError
from artpack.system.atomic import write_atomically

from ..options.outputs import Command, Output
from ..options.shared import artifact_argument, limit_option
from ..render import tables as render

RESERVED = "__metadata__"
"""Where a file of safetensors has its metadata."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    if output.suffix not in (".safetensors", ".pt"):
        raise UsageError(f"{output}: the ending must be .safetensors or .pt")
    tensors = load(
        artifact, dtype=DTYPES[dtype] if dtype else None, max_decoded_bytes=max_decoded_bytes
    )
    data = _pt(tensors) if output.suffix == ".pt" else _safetensors(tensors)
    size = write_atomically(output, [data])
    render.unpacked(output, len(tensors), size)


def _safetensors(tensors: dict[str, Tensor]) -> bytes:
    for name, tensor in tensors.items():
        _check_place(name, tensor.dtype)
    # The format knows no ties: tied tensors are written out in full. Other tools ask it
    # which library's tensors these are, and some refuse a file that does not say it.
    whole = {name: tensor.clone() for name, tensor in tensors.items()}
    return safetensors.torch.save(whole, metadata={"format": "pt"})


def _check_place(name: str, dtype: torch.dtype) -> None:
    """Check that safetensors has a place for a tensor; every torch file has."""
    if name == RESERVED:
        raise UsageError(f"{name!r} names no tensor in safetensors: unpack to a .pt file")
    try:
        safetensors.torch.save({name: torch.empty(0, dtype=dtype)})
    except (KeyError, ValueError, safetensors.SafetensorError) as error:
        raise UsageError(f"{name!r}: safetensors has no {dtype}: unpack to a .pt file") from error


def _pt(tensors: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()
