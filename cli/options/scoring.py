"""Options that say what is scored and in which windows; eval and audit share them."""

from typing import Any

import click

import artpack

from .groups import Decorator, as_argument
from .shared import EXISTING, POSITIVE

PLACEMENTS = (
    "sequential",
    "sliding",
    "documents",
    "pr2086",
    "pr576",
    "pr1123",
    "pr826",
    "pr826-documents",
    "pr1934-packed",
)
WHAT = (
    "token shards (quote a pattern with *), .npy arrays, or a .txt of UTF-8 text with NUL"
    " between its documents."
)

tokens_option = click.option(
    "--tokens", required=True, metavar="FILE", help=f"What to score: {WHAT}"
)
sidecar_option = click.option(
    "--sidecar", metavar="FILE", help="Shards of bytes per token; CaseOps tokens need them."
)
faithful_option = click.option(
    "--faithful",
    is_flag=True,
    help="Keep the published model's defects, see docs/RECIPES.md; by default it runs as meant.",
)
ngram_option = click.option(
    "--ngram",
    is_flag=False,
    flag_value="learned",
    type=click.Choice(["learned", "published"]),
    metavar="[learned|published]",
    help="Mix the model with what followed the same 1 to 8 tokens before, as one"
    " distribution; 'published' weighs as PR 826 does.",
)


def tokenizer_option(*, required: bool = False) -> Decorator[Any]:
    """Return the option of the tokens' tokenizer."""
    about = "The SentencePiece model of the tokens."
    return click.option("--tokenizer", type=EXISTING, required=required, metavar="FILE", help=about)


def _windows(**given: Any) -> "artpack.WindowOptions":
    return artpack.WindowOptions(**given)


def windows_options(*, fewest_tokens: int, limit: str) -> Decorator[Any]:
    """
    Return the options of windows, as one argument ``windows``.

    Args:
        fewest_tokens: That can be scored.
        limit: Help of ``--limit-tokens``.

    Returns:
        A decorator of commands.

    """
    return as_argument(
        "windows",
        _windows,
        click.option(
            "--window-tokens",
            type=POSITIVE,
            help="Tokens a window; take what the model was trained with. By default 1,024, or as"
            " many as the model takes.",
        ),
        click.option(
            "--stride-tokens",
            type=POSITIVE,
            help="Scored tokens a window, the others are context; by default all.",
        ),
        click.option(
            "--placement",
            type=click.Choice(PLACEMENTS),
            default="sliding",
            show_default=True,
            help="Where windows lie: over the stream, in each document, or as a published"
            " system placed them.",
        ),
        click.option("--limit-tokens", type=click.IntRange(min=fewest_tokens), help=limit),
    )
