"""A bar on stderr that shows how far a job is."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

import artpack

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def progress(
    workers: object = None,
    *,
    run: "artpack.RunFolder | None" = None,
    line_seconds: float | None = None,
) -> Iterator["artpack.Progress"]:
    """
    Show a bar with an estimate on a terminal.

    Args:
        workers: Who works; where they have a dashboard, its address stands beside the bar.
        run: Where the command keeps what it has found so far; named once there is anything.
        line_seconds: Elsewhere print a line this often; None for none.

    Yields:
        What is told how far the job is.

    """
    from rich import progress as rich
    from rich.console import Console

    from artpack.system.ranks import Ranks

    console, first = Console(stderr=True), Ranks.current().rank == 0
    if not (first and console.is_terminal):
        yield _Lines(math.inf if line_seconds is None or not first else line_seconds)
        return
    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.TimeElapsedColumn(),
        rich.TimeRemainingColumn(),
        rich.TextColumn("{task.fields[note]}"),
        rich.TextColumn("{task.fields[kept]}", markup=False),
        rich.TextColumn(getattr(workers, "dashboard", ""), markup=False),
    )
    with rich.Progress(*columns, console=console) as bar:
        yield _Bar(bar, run)


class _Bar:
    """One line of the display: the phase that is running."""

    def __init__(self, bar: "Progress", run: "artpack.RunFolder | None") -> None:
        self._bar, self._run = bar, run
        self._task: TaskID | None = None
        self._phase, self._done = "", 0

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:
        if self._task is None or phase != self._phase or done < self._done:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(phase, note="", kept="")
        self._phase, self._done = phase, done
        kept = f"kept in {self._run.path}" if self._run is not None and self._run.in_use else ""
        self._bar.update(self._task, completed=done, total=total, note=note, kept=kept)


class _Lines:
    """How it goes, a line now and then; never, if the seconds between are infinite."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, -math.inf

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:  # noqa: ARG002 - see Progress
        now = time.monotonic()
        if note and now - self._last > self._seconds:
            self._last = now
            click.echo(note, err=True)
