"""``artpack eval --ttt`` and ``--attribute``: scores of a model that learns on the way."""

import csv
import io
import time
from dataclasses import asdict, astuple, dataclass, fields, replace
from typing import Any

import click

from artpack.errors import UsageError
from artpack.evaluate.tokens.stream import Stream
from artpack.evaluate.ttt.adaptation import Adapted, adapt
from artpack.evaluate.ttt.attribution import attribute
from artpack.evaluate.ttt.load import Named
from artpack.evaluate.ttt.recipe import OverStream, placed
from artpack.evaluate.ttt.recipe_windows import plan_of
from artpack.evaluate.ttt.running_score import Point
from artpack.evaluate.ttt.saved_state import own_path
from artpack.evaluate.ttt.second_pass import score_again
from artpack.evaluate.ttt.strategy import Observer
from artpack.models import GPT
from artpack.runners.settings import Settings
from artpack.system.atomic import write_atomically
from artpack.system.ranks import Ranks

from .entry import EXIT_INTERRUPTED
from .options.ttt import Adapting
from .render import ttt as render_adapting
from .scoring import Windows, check_windows
from .subject import Subject


class Interrupted(click.ClickException):
    """Somebody stopped an evaluation whose state is kept."""

    exit_code = EXIT_INTERRUPTED

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature
        """Say how to carry on."""
        render_adapting.stopped(self.message)


@dataclass(frozen=True)
class Task:
    """
    What is to be scored, and how.

    Attributes:
        model: The model.
        stream: Tokens and their bytes.
        named: The recipe, with its windows.
        settings: Device, precision and batch size.
        observer: Shown every distribution.
    """

    model: GPT
    stream: Stream
    named: Named
    settings: Settings
    observer: Observer | None


def adapt_subject(
    asked: Adapting,
    subject: Subject,
    windows: Windows,
    settings: Settings,
    *,
    faithful: bool,
    observer: Observer | None = None,
    mixer: str | None = None,
) -> dict[str, Any]:
    """
    Score a model that learns on the way, or say where its gain comes from.

    Args:
        asked: How it learns.
        subject: One model of ours, and tokens.
        windows: What is run and scored where the recipe leaves it open.
        settings: Device, precision and batch size.
        faithful: Repeat what the recipe says was published by mistake.
        observer: Shown every distribution.
        mixer: With ``--attribute``: how n-grams are mixed in at last.

    Returns:
        The numbers, ready for JSON.

    Raises:
        UsageError: The model is not one of ours, or options do not go together.

    """
    check_windows(subject, windows)
    model = _one_model(subject, windows)
    named = chosen_recipe(asked, subject, windows, faithful=faithful)
    task = Task(model, subject.stream.first(windows.limit_tokens), named, settings, observer)
    started = time.monotonic()
    numbers = _attribute(task, mixer) if asked.attribute else _adapt(asked, task)
    numbers["stream_tokens"] = int(subject.stream.ids.size)
    numbers["seconds"] = round(time.monotonic() - started, 2)
    return numbers


def chosen_recipe(asked: Adapting, subject: Subject, windows: Windows, *, faithful: bool) -> Named:
    """Return the recipe that was asked for, with windows where it leaves them open."""
    named = asked.chosen(subject.ttt, faithful=faithful)
    stride = windows.stride_tokens or windows.window_tokens
    return replace(named, recipe=placed(named.recipe, windows.window_tokens, stride))


def _one_model(subject: Subject, windows: Windows) -> GPT:
    if windows.placement != "sliding":
        raise UsageError("--ttt places the windows itself: leave --placement out")
    if len(subject.models) != 1 or not isinstance(subject.models[0], GPT):
        raise UsageError("--ttt takes no --baseline, --hf or --compile")
    return subject.models[0]


def _attribute(task: Task, mixer: str | None) -> dict[str, Any]:
    shown = Ranks.current().rank == 0
    with render_adapting.progress(shown=shown) as watch:
        rows = attribute(
            task.model,
            task.stream,
            task.named.recipe,
            mixer=mixer,
            settings=task.settings,
            watch=watch,
        )
    return {"ttt": {"recipe": task.named.to_json()}, "attribution": [asdict(row) for row in rows]}


def _adapt(asked: Adapting, task: Task) -> dict[str, Any]:
    adapted = _run(asked, task)
    facts = _facts(adapted, task)
    if asked.curve is not None and Ranks.current().rank == 0:
        write_atomically(asked.curve, [_curve(adapted.curve)])
    if asked.two_pass:
        recipe = task.named.recipe
        again = score_again(adapted, task.stream, recipe, settings=task.settings)
        facts["second_pass"] = {"score_first": False, **asdict(again)}
    return {"score": asdict(adapted.score), "ttt": facts, **_windows(task)}


def _run(asked: Adapting, task: Task) -> Adapted:
    with render_adapting.progress(shown=Ranks.current().rank == 0) as watch:
        try:
            return adapt(
                task.model,
                task.stream,
                task.named.recipe,
                settings=task.settings,
                watch=watch("scoring"),
                observer=task.observer,
                state=asked.state,
            )
        except KeyboardInterrupt:
            if asked.state is None or not own_path(asked.state).exists():
                raise
            raise Interrupted(str(asked.state)) from None


def _facts(adapted: Adapted, task: Task) -> dict[str, Any]:
    last, faults = adapted.curve[-1], adapted.journal.faults(task.stream.ids.size - 1)
    return {
        "recipe": task.named.to_json(),
        "score_first": not any(fault.why.startswith("learned") for fault in faults),
        "lessons": len(adapted.lessons),
        "resumed_steps": adapted.resumed_steps,
        "temperature": last.temperature,
        "scored_tokens_s": round(last.scored / last.seconds) if last.seconds else None,
    }


def _windows(task: Task) -> dict[str, Any]:
    recipe, plan = task.named.recipe, plan_of(task.named.recipe, task.stream)
    windows: dict[str, Any] = {"window_tokens": recipe.window_tokens}
    if isinstance(recipe, OverStream):
        windows |= {"placement": recipe.placement, "stride_tokens": recipe.stride_tokens}
    else:
        windows |= {"placement": "documents", "stride_tokens": recipe.chunk_tokens}
    return {"windows": windows, "last_window_tokens": int(plan.windows[-1, 1])}


def _curve(points: list[Point]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Point)])
    writer.writerows(astuple(point) for point in points)
    return text.getvalue().encode()
