"""The state of a training run in words, with its speed and the time left."""

import math
import time

from artpack.training.data import Data
from artpack.training.loop import Row

UNITS = 1000
"""Parts of a run in which its progress is counted; its length may be one of time."""


class Meter:
    """
    Turns the rows of steps into words, with the speed since the first one it saw.

    Args:
        data: What the model reads.
    """

    def __init__(self, data: Data) -> None:
        held_out = data.held_out
        self._tokens_a_byte = held_out.ids.size / max(int(held_out.byte_counts.sum()), 1)
        self._first: tuple[float, float, float] | None = None

    def read(self, row: Row, done: float) -> str:
        """
        Say how a run goes.

        Args:
            row: What there is to say about a step.
            done: How much of the run is over.

        Returns:
            One line.

        """
        bits = row["loss"] / math.log(2) * self._tokens_a_byte
        said = f"step {row['step']:.0f}: loss {row['loss']:.4f}, about {bits:.3f} bits per byte"
        if "held_out_bits_per_byte" in row:
            said += f", {row['held_out_bits_per_byte']:.4f} on held-out text"
        now = time.monotonic(), row["tokens"], done
        seconds, tokens, share = (b - a for a, b in zip(self._first or now, now, strict=True))
        self._first = self._first or now
        if share > 0:
            left = (1 - done) / share * seconds
            said += f", {tokens / seconds:,.0f} tokens/s, {_clock(max(left, 0.0))} left"
        return said


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
