"""A bar on stderr that shows how far a job is."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from artpack.stages.progress import Progress as Told
from artpack.system.ranks import Ranks


@contextmanager
def progress() -> Iterator[Told]:
    """Yield what is told how far a job is; shows a bar with an estimate on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    shown = console.is_terminal and Ranks.current().rank == 0
    with Progress(*columns, console=console, disable=not shown) as bar:
        yield _Bar(bar)


class _Bar:
    """One line of the display: the phase that is running."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._phase, self._done = "", 0

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:
        if self._task is None or phase != self._phase or done < self._done:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(phase, note="")
        self._phase, self._done = phase, done
        self._bar.update(self._task, completed=done, total=total, note=note)
