"""``artpack compare``: files of one model side by side."""

from pathlib import Path
from typing import Any

import click

import artpack

from ..options.outputs import Command, Output
from ..options.scoring import tokenizer_option, windows_options
from ..options.shared import EXISTING, device_option, json_option
from ..render import compare as render
from ..render.progress import progress


@click.command(cls=Command, needs="artpack.api.compare")
@click.argument("sources", type=EXISTING, nargs=-1, required=True)
@click.option(
    "--reference",
    type=EXISTING,
    metavar="FILE",
    help="What errors and losses are against; by default the first of SOURCES.",
)
@click.option("--tokens", metavar="FILE", help="Score all on these: bits per byte, and KL.")
@tokenizer_option()
@windows_options(fewest_tokens=1, limit="Score no more than the first so many.")
@device_option
@click.option("--tensors", is_flag=True, help="A row for each tensor, not for each role.")
@click.option("--html", type=Output(), metavar="FILE", help="Write one self-contained page.")
@json_option
def compare(
    *,
    sources: tuple[Path, ...],
    device: str,
    tensors: bool,
    html: Path | None,
    as_json: bool,
    **others: Any,
) -> None:
    """
    Put files of one model side by side: bytes, bits per weight, errors, scores.

    SOURCES are artifacts, checkpoints, folders of Hugging Face or GGUF files. A role is all
    tensors whose names differ by numbers alone.
    """
    with progress() as told:
        result = artpack.compare(
            sources, settings=artpack.Settings(device=device), progress=told, **others
        )
    if html is not None:
        render.page(html, result)
    render.report(result, by_tensor=tensors, as_json=as_json)
