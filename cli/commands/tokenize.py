"""``artpack tokenize``: text to a tokenizer and token shards."""

from pathlib import Path
from typing import Any

import click

import artpack

from ..options.outputs import Command, Output
from ..options.shared import EXISTING, POSITIVE, json_option, output_option
from ..render import train as render


@click.command(cls=Command, needs="artpack.api.tokenize")
@click.argument("texts", type=EXISTING, nargs=-1, required=True)
@output_option("Where to; made if it is missing.", type=Output(folder=True), metavar="DIR")
@click.option(
    "--vocab",
    "vocab_size",
    type=click.IntRange(min=300, max=65536),
    default=1024,
    show_default=True,
    help="Pieces of the tokenizer.",
)
@click.option(
    "--tokenizer",
    type=EXISTING,
    metavar="FILE",
    help="Use this SentencePiece model instead of training one.",
)
@click.option("--caseops", is_flag=True, help="Train it on CaseOps text, as PR 1934 does.")
@click.option(
    "--held-out",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=0.02,
    show_default=True,
    help="Share of the documents that is held out, chosen by hash.",
)
@click.option(
    "--shard-tokens", type=POSITIVE, default=10_000_000, show_default=True, help="Tokens a shard."
)
@json_option
def tokenize(*, texts: tuple[Path, ...], output: Path, as_json: bool, **settings: Any) -> None:
    """
    Train a tokenizer on TEXTS and write them as token shards.

    A text is UTF-8 with NUL between its documents; a file without one is one document.
    """
    render.tokenized(artpack.tokenize(texts, output, **settings), as_json=as_json)
