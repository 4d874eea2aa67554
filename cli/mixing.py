"""``artpack eval --ngram``: the score of a model mixed with n-grams of what it has scored."""

import time
from dataclasses import asdict
from typing import Any

import click

from artpack.errors import UsageError
from artpack.evaluate.audit.sample import Sample
from artpack.evaluate.ngram.mixing import MIXERS
from artpack.evaluate.ngram.report import report_ngrams
from artpack.evaluate.scoring.evaluators import Windowed
from artpack.evaluate.scoring.observation import Observed, Recorder
from artpack.evaluate.tokens.stream import Stream
from artpack.evaluate.ttt.evaluator import check_left_to_right
from artpack.evaluate.windows.plan import Coverage
from artpack.runners.settings import Settings

from .adapted import adapt_subject, chosen_recipe
from .options.ttt import Adapting
from .render.progress import progress
from .scoring import Windows, plan_windows
from .subject import Subject

ngram_option = click.option(
    "--ngram",
    is_flag=False,
    flag_value="learned",
    type=click.Choice(list(MIXERS)),
    metavar="[learned|published]",
    help="Mix the model with what followed the same 1 to 8 tokens before, as one"
    " distribution; 'published' weighs as PR 826 does.",
)


def mix_subject(
    mixer: str,
    subject: Subject,
    windows: Windows,
    settings: Settings,
    *,
    adapting: Adapting | None,
    faithful: bool,
) -> dict[str, Any]:
    """
    Score one model mixed with n-grams, and say what else the same tokens score.

    Args:
        mixer: How weights are found.
        subject: One model, and tokens.
        windows: What is run and scored.
        settings: Device, precision and batch size.
        adapting: How the model learns on the way, if it does.
        faithful: Repeat what a recipe says was published by mistake.

    Returns:
        The numbers, ready for JSON.

    Raises:
        UsageError: Options do not go together, or targets are not scored once each.

    """
    if len(subject.models) != 1:
        raise UsageError("--ngram scores one model: leave --baseline out")
    if adapting is not None and (adapting.two_pass or adapting.state):
        raise UsageError("--ngram takes one whole pass: leave --two-pass and --resume out")
    started = time.monotonic()
    stream = subject.stream.first(windows.limit_tokens)
    watch = Sample().draw_rows(stream)
    if adapting is None:
        seen, numbers = _still(subject, windows, settings, watch)
    else:
        check_left_to_right(chosen_recipe(adapting, subject, windows, faithful=faithful).recipe)
        if adapting.attribute:
            return adapt_subject(
                adapting, subject, windows, settings, faithful=faithful, mixer=mixer
            )
        recorder = Recorder(stream.ids, watch, subject.vocab_size)
        numbers = adapt_subject(
            adapting, subject, windows, settings, faithful=faithful, observer=recorder
        )
        seen = recorder.observed(settings.device)
    return {
        **numbers,
        **_mixed(mixer, seen, stream, Coverage(**numbers["score"]["coverage"])),
        "seconds": round(time.monotonic() - started, 2),
    }


def _still(
    subject: Subject, windows: Windows, settings: Settings, watch: list[int]
) -> tuple[Observed, dict[str, Any]]:
    stream, plan = plan_windows(subject, windows)
    with progress() as told:
        evaluator = Windowed(subject.models[0], lambda _: plan, subject.vocab_size, settings, told)
        seen = evaluator(stream, watch)
    numbers = {
        "score": {"coverage": asdict(plan.coverage())},
        "last_window_tokens": int(plan.windows[-1, 1]),
        "stream_tokens": int(subject.stream.ids.size),
    }
    return seen, numbers


def _mixed(mixer: str, seen: Observed, stream: Stream, coverage: Coverage) -> dict[str, Any]:
    found = asdict(report_ngrams(seen, stream, coverage, mixer=mixer))
    return {"score": found.pop("mixed"), "ngram": {"mixer": mixer, **found}}
