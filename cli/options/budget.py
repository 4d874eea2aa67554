"""Options that say how small or how good a file must be."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from artpack import Scoring
from artpack.errors import UsageError

from .groups import SIZE, option_of
from .shared import EXISTING
from .sizes import Size

R = TypeVar("R")


def scoring_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of scoring what it packs, as one argument ``scoring``."""

    @option_of(SIZE)(
        "--score-tokens", metavar="FILE", help="Score file and checkpoint on these tokens."
    )
    @option_of(SIZE)(
        "--score-tokenizer", type=EXISTING, metavar="FILE", help="Their SentencePiece model."
    )
    @option_of(SIZE)(
        "--score-limit-tokens",
        type=click.IntRange(min=1),
        metavar="N",
        help="Score only the first so many.",
    )
    @functools.wraps(command)
    def gathered(
        *,
        score_tokens: str | None,
        score_tokenizer: Path | None,
        score_limit_tokens: int | None,
        **others: Any,
    ) -> R:
        if (score_tokens is None) != (score_tokenizer is None):
            raise UsageError("`score_tokens` and `score_tokenizer` go together")
        scoring = None
        if score_tokens is not None and score_tokenizer is not None:
            scoring = Scoring(score_tokens, score_tokenizer, score_limit_tokens)
        return command(scoring=scoring, **others)

    return gathered


def budget_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of a budget."""
    for option in reversed(
        (
            option_of(SIZE)(
                "--budget",
                type=Size(),
                help="The most bytes: 16000000, 16M, 15.5MiB.",
            ),
            option_of(SIZE)(
                "--code-bytes",
                type=Size(),
                default=0,
                help="Code that counts into the budget.",
            ),
            option_of(SIZE)(
                "--max-bpb-increase",
                "max_loss_increase",
                type=click.FloatRange(min=0, min_open=True),
                metavar="BPB",
                help="The most loss, on --score-tokens.",
            ),
            scoring_options,
        )
    ):
        command = option(command)
    return command
