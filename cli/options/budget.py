"""The options of ``artpack compress`` that say how small or how good a file must be."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from artpack.errors import UsageError

from .shared import EXISTING
from .sizes import Size

R = TypeVar("R")


@dataclass(frozen=True)
class Judging:
    """
    What files are scored on.

    Attributes:
        tokens: Shards, arrays or text.
        tokenizer: Their SentencePiece model.
        limit_tokens: Score no more than the first so many.
    """

    tokens: str
    tokenizer: Path
    limit_tokens: int | None


@dataclass(frozen=True)
class Goal:
    """
    What a file must be like.

    Attributes:
        limit_bytes: No more bytes than this, counted code included.
        code_bytes: Counted code.
        max_increase: No more bits per byte than this above the checkpoint.
        judging: What files are scored on; None if they are not scored.
    """

    limit_bytes: int | None
    code_bytes: int
    max_increase: float | None
    judging: Judging | None

    @property
    def file_limit(self) -> int | None:
        """How many bytes the file itself may have."""
        return None if self.limit_bytes is None else self.limit_bytes - self.code_bytes

    @property
    def given(self) -> bool:
        """Whether anything is asked of the file."""
        return self.limit_bytes is not None or self.max_increase is not None


def judging_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of scoring what it packs, as one argument ``judging``."""

    @click.option(
        "--score-tokens",
        metavar="FILE",
        help="Score the file and its checkpoint on these tokens, as 'artpack eval' does.",
    )
    @click.option(
        "--score-tokenizer", type=EXISTING, metavar="FILE", help="Their SentencePiece model."
    )
    @click.option(
        "--score-limit-tokens",
        type=click.IntRange(min=1),
        metavar="N",
        help="Score no more than the first so many.",
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
            raise UsageError("--score-tokens and --score-tokenizer go together")
        if score_tokens is None or score_tokenizer is None:
            return command(judging=None, **others)
        judging = Judging(score_tokens, score_tokenizer, score_limit_tokens)
        return command(judging=judging, **others)

    return gathered


def budget_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of a budget, as one argument ``goal``."""

    @click.option(
        "--budget",
        type=Size(),
        help="Make the best file of no more bytes than this: 16000000, 16M, 15.5MiB.",
    )
    @click.option(
        "--code-bytes",
        type=Size(),
        default=0,
        help="Bytes of code that count into the budget.",
    )
    @click.option(
        "--max-bpb-increase",
        "max_increase",
        type=click.FloatRange(min=0, min_open=True),
        metavar="BPB",
        help="Make the smallest file that scores no more bits per byte above its checkpoint"
        " than this, on --score-tokens.",
    )
    @judging_options
    @functools.wraps(command)
    def gathered(
        *,
        budget: int | None,
        code_bytes: int,
        max_increase: float | None,
        judging: Judging | None,
        **others: Any,
    ) -> R:
        if budget is not None and max_increase is not None:
            raise UsageError("--budget and --max-bpb-increase: give one of them")
        if max_increase is not None and judging is None:
            raise UsageError("--max-bpb-increase is measured on --score-tokens: give them")
        if budget is None and code_bytes:
            raise UsageError("--code-bytes counts into a --budget: give one")
        if budget is not None and budget <= code_bytes:
            raise UsageError(f"--budget {budget}: the code alone has {code_bytes} bytes")
        return command(goal=Goal(budget, code_bytes, max_increase, judging), **others)

    return gathered
