"""The protocol by which long work tells how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Protocol


class Progress(Protocol):
    """
    What is told how far a piece of work is; any function of this signature.

    A job has phases, one after another, such as ``calibrating`` and ``packing``. Each counts
    from about 0 to its total, in units of its own; a phase may come again.
    """

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:
        """
        Take notice.

        Args:
            phase: What is being done, in one or two words.
            done: Units done so far.
            total: Units that this phase will take.
            note: How it goes, such as a running score.

        """


def renamed(progress: Progress | None, phase: str) -> Progress | None:
    """
    Give what is told under any name a name of its own.

    Args:
        progress: What is told, if anything.
        phase: What is being done, in one or two words.

    Returns:
        What may be told instead.

    """
    return None if progress is None else _Renamed(progress, phase)


@dataclass(frozen=True)
class _Renamed:
    told: Progress
    name: str

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:  # noqa: ARG002 - see Progress
        self.told(self.name, done, total, note)


def counter(phase: str, total: int, progress: Progress | None) -> Callable[[int], None]:
    """
    Return what adds up units, from whatever thread, and tells how far it is.

    Args:
        phase: What is being done, in one or two words.
        total: Units that it will take.
        progress: What is told, if anything.

    Returns:
        A function of how many units were done since.

    >>> advance = counter("packing", 5, print)
    >>> advance(2)
    packing 2 5
    >>> advance(3)
    packing 5 5

    """
    done, lock = 0, Lock()

    def advance(units: int) -> None:
        nonlocal done
        with lock:
            done += units
            if progress is not None:
                progress(phase, done, total)

    return advance
