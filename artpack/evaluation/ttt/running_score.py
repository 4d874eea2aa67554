"""The running score of an evaluation, by document and as one number."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.scoring.summary import check_losses
from artpack.evaluation.tokens.stream import Stream


@dataclass(frozen=True)
class ScorePoint:
    """
    Where an evaluation stood.

    Attributes:
        scored: Scores taken so far.
        loss_nats: Their mean.
        bits_per_byte: Over the bytes that they stand for; NaN while those are none.
        rate: Learning rate of the last update; 0 before one.
        temperature: That the last targets were scored with; None for the checkpoint's own.
        seconds: Since the start, earlier runs that this one has resumed included.
    """

    scored: int
    loss_nats: float
    bits_per_byte: float
    rate: float
    temperature: float | None
    seconds: float

    @property
    def said(self) -> str:
        """How it goes, in words."""
        bits = f"{self.bits_per_byte:.4f} bits per byte so far"
        return f"{bits}, {self.scored / self.seconds:,.0f} tokens/s" if self.seconds else bits


class Tally:
    """
    Sums over what this process has scored.

    Args:
        stream: Tokens and their bytes.

    Attributes:
        sums: Tokens, bytes and nats of each document, float64 (documents, 3).
    """

    def __init__(self, stream: Stream) -> None:
        self._bytes = stream.byte_counts
        self._document = np.cumsum(stream.ids[:-1] == stream.bos_id)
        self.sums = np.zeros((int(self._document[-1]) + 1, 3))

    def add(self, targets: NDArray[np.int64], losses: NDArray[np.float32]) -> None:
        """Add the losses (n,) of targets (n,), which must be finite."""
        check_losses(targets, losses)
        columns = np.ones(len(targets)), self._bytes[targets + 1], losses.astype(np.float64)
        np.add.at(self.sums, self._document[targets], np.stack(columns, axis=1))


def running(total: NDArray[np.float64]) -> tuple[int, float, float]:
    """
    Return what a total says.

    Args:
        total: Tokens, bytes and nats.

    Returns:
        Tokens, nats per token, bits a byte.

    """
    tokens, text_bytes, nats = total.tolist()
    bits = nats / (math.log(2) * text_bytes) if text_bytes else math.nan
    return int(tokens), nats / tokens if tokens else math.nan, bits
