"""The protocol by which long work tells how far it is."""

from dataclasses import dataclass
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
