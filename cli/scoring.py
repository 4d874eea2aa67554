"""Scores the models of a subject and puts the numbers into a report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from artpack.errors import UsageError
from artpack.evaluate.scoring.score import Comparison, compare, score
from artpack.evaluate.scoring.summary import Score
from artpack.evaluate.tokens.stream import Stream
from artpack.evaluate.windows.placements import STRIDELESS, place
from artpack.evaluate.windows.plan import WindowPlan, share_rows
from artpack.models.defects import as_meant
from artpack.runners.protocol import LanguageModel
from artpack.runners.settings import Settings

from .render.progress import progress
from .subject import Subject


@dataclass(frozen=True)
class Windows:
    """
    What of a stream is run, and what of it is scored.

    Attributes:
        placement: How windows are placed, by name.
        window_tokens: Tokens a window.
        stride_tokens: Scored tokens a window; None for all.
        limit_tokens: Score no more than the first so many.
    """

    placement: str
    window_tokens: int
    stride_tokens: int | None
    limit_tokens: int | None

    def __post_init__(self) -> None:
        if self.stride_tokens is not None and self.placement in STRIDELESS:
            raise UsageError(
                f"--placement {self.placement} has no stride: leave --stride-tokens out"
            )


def score_subject(subject: Subject, windows: Windows, settings: Settings) -> dict[str, Any]:
    """
    Score one model, or two side by side.

    Args:
        subject: Models and tokens.
        windows: What is run and scored.
        settings: How.

    Returns:
        The numbers, ready for JSON.

    Raises:
        UsageError: Tokens or windows are not for these models.

    """
    stream, plan = plan_windows(subject, windows)
    started = time.monotonic()
    numbers = _score(subject.models, stream, plan, settings)
    numbers["last_window_tokens"] = int(plan.windows[-1, 1])
    numbers["stream_tokens"] = int(subject.stream.ids.size)
    numbers["seconds"] = round(time.monotonic() - started, 2)
    return numbers


def plan_windows(subject: Subject, windows: Windows) -> tuple[Stream, WindowPlan]:
    """Return what is scored, and the windows that are run."""
    stream = subject.stream.first(windows.limit_tokens)
    check_windows(subject, windows)
    return stream, place_windows(subject, windows, stream)


def place_windows(subject: Subject, windows: Windows, stream: Stream) -> WindowPlan:
    """Place windows on a stream of the subject's model."""
    stride = windows.stride_tokens or windows.window_tokens
    plan = place(windows.placement, stream.ids, windows.window_tokens, stride, bos_id=stream.bos_id)
    if subject.config is not None and subject.config == as_meant(subject.config):
        plan = share_rows(plan)  # its documents do not see each other, so rows may be filled
    return plan


def _score(
    models: Sequence[LanguageModel], stream: Stream, plan: WindowPlan, settings: Settings
) -> dict[str, Any]:
    with progress() as told:
        run: Callable[..., Score | Comparison] = partial(
            score if len(models) == 1 else compare,
            ids=stream.ids,
            plan=plan,
            byte_counts=stream.byte_counts,
            settings=settings,
            bos_id=stream.bos_id,
            progress=told,
        )
        found = run(*models)
    if isinstance(found, Score):
        return {"score": asdict(found)}
    numbers = asdict(found)
    return {
        "score": numbers.pop("packed"),
        "baseline": numbers.pop("baseline"),
        "comparison": numbers,
    }


def check_windows(subject: Subject, windows: Windows) -> None:
    """Check that tokens and windows are for the models."""
    ids, longest = subject.stream.ids, subject.max_tokens
    if ids.size and int(ids.max()) >= subject.vocab_size:
        raise UsageError(
            f"token id {ids.max()} is beyond the model's vocabulary of {subject.vocab_size}:"
            " give the tokens and tokenizer of this model"
        )
    if longest is not None and windows.window_tokens > longest:
        raise UsageError(f"the model takes {longest} tokens at most: give --window-tokens")
