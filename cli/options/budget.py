"""Options that say how small or how good a file must be."""

from pathlib import Path

import click

import artpack
from artpack.errors import UsageError

from .groups import SIZE, as_argument, option_of, together
from .shared import EXISTING, POSITIVE
from .sizes import Size


def _scoring(
    score_tokens: str | None, score_tokenizer: Path | None, score_limit_tokens: int | None
) -> "artpack.Scoring | None":
    if score_tokens is None and score_tokenizer is not None:
        raise UsageError("`score_tokenizer` goes with `score_tokens`")
    if score_tokens is None:
        return None
    return artpack.Scoring(score_tokens, score_tokenizer, score_limit_tokens)


scoring_options = as_argument(
    "scoring",
    _scoring,
    option_of(SIZE)(
        "--score-tokens", metavar="FILE", help="Score file and checkpoint on these tokens."
    ),
    option_of(SIZE)(
        "--score-tokenizer", type=EXISTING, metavar="FILE", help="Their SentencePiece model."
    ),
    option_of(SIZE)(
        "--score-limit-tokens", type=POSITIVE, metavar="N", help="Score only the first so many."
    ),
)
budget_options = together(
    option_of(SIZE)("--budget", type=Size(), help="The most bytes: 16000000, 16M, 15.5MiB."),
    option_of(SIZE)(
        "--code-bytes", type=Size(), default=0, help="Code that counts into the budget."
    ),
    option_of(SIZE)(
        "--max-loss-increase",
        type=click.FloatRange(min=0, min_open=True),
        metavar="LOSS",
        help="The most: bits per byte, or in the data's unit.",
    ),
    scoring_options,
)
