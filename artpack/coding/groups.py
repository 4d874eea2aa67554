"""Stream groups: parts that share an alphabet and may share a stream, and samples of them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from artpack.stages.symbols import Symbols

SAMPLE_SYMBOLS = 1 << 16
"""Enough for candidates to show their rank, few enough to be quick. In smaller groups nothing
is dropped."""

STRIPE_ROWS = 64
"""Rows of a sample that follow each other, at least: the adaptive coder learns of columns."""

STRIPE_SYMBOLS = 1 << 11
"""Symbols that do, at least: classes have runs as long as this."""


@dataclass(frozen=True)
class StreamGroup:
    """
    Parts that may share a stream.

    Attributes:
        parts: uint8, two-dimensional.
        alphabet: Of all of them.
        states: Of the trellis that runs down their columns, 1 for none.
    """

    parts: tuple[Symbols, ...]
    alphabet: int
    states: int = 1

    @property
    def symbols(self) -> int:
        """Number of symbols."""
        return sum(part.size for part in self.parts)

    @property
    def flat(self) -> bool:
        """Whether no part has an order of rows and columns to choose from."""
        return all(min(part.shape) <= 1 for part in self.parts)

    @property
    def large(self) -> bool:
        """Whether candidates are dropped by what they do to a sample."""
        return self.symbols > SAMPLE_SYMBOLS

    def sample(self, symbols: int = SAMPLE_SYMBOLS) -> "StreamGroup":
        """
        Return about so many symbols: stripes of rows, spread over the parts.

        Args:
            symbols: How many.

        Returns:
            A group of the same kind; this one if it is no larger.

        """
        share = symbols / max(1, self.symbols)
        if share >= 1:
            return self
        rows = sum(map(len, self.parts)) * share
        least = max(_stripe_rows(part) for part in self.parts)
        some = [self.parts[p] for p in evenly(len(self.parts), int(rows / least))]
        share = min(1.0, symbols / max(1, sum(part.size for part in some)))
        return replace(self, parts=tuple(_stripes(part, share) for part in some))


def _stripes(part: Symbols, share: float) -> Symbols:
    """Return a share of the rows of a part, in stripes of some length."""
    if len(part) == 1:
        return part[:, : int(np.ceil(part.shape[1] * share))]
    wanted = int(np.ceil(len(part) * share))
    stripes = max(1, wanted // _stripe_rows(part))
    starts = evenly(max(1, len(part) - wanted // stripes + 1), stripes)
    return np.concatenate([part[start : start + wanted // stripes] for start in starts])


def _stripe_rows(part: Symbols) -> int:
    cols: int = part.shape[1]
    return max(STRIPE_ROWS, -(-STRIPE_SYMBOLS // max(1, cols)))


def evenly(count: int, wanted: int) -> NDArray[np.int64]:
    """
    Spread some places over a range.

    Args:
        count: Size of the range, 1 or more.
        wanted: How many places, at least 1; all where there are no more.

    Returns:
        int64, rising.

    >>> evenly(10, 3).tolist()
    [0, 4, 9]

    """
    if wanted >= count:
        return np.arange(count)
    return np.rint(np.linspace(0, count - 1, max(1, wanted))).astype(np.int64)
