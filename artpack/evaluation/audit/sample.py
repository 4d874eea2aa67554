"""The sample of an audit, and streams whose later tokens are others."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluation.tokens.stream import Stream


@dataclass(frozen=True)
class Missed:
    """
    How likely a sample is to miss a fault.

    Attributes:
        share: Of the targets that have the fault.
        own_target: Chance that none of them is a place that is replaced: what only depends
            on its own target shows nowhere else.
        distribution: Chance that no whole distribution of them is looked at.
    """

    share: float
    own_target: float
    distribution: float


@dataclass(frozen=True)
class Sample:
    """
    How much is looked at.

    Attributes:
        cuts: Targets that are replaced with all that is scored after them; each takes a
            run of the whole evaluation.
        rows: Targets whose whole distribution is looked at, besides the cuts.
        seed: Of the random draws.
    """

    cuts: int = 3
    rows: int = 64
    seed: int = 0

    def missed(self, share: float, targets: int) -> Missed:
        """
        Say how likely it is that a fault escapes, at most.

        Args:
            share: Of the targets that have the fault.
            targets: Of the stream.

        Returns:
            The chances.

        >>> Sample(cuts=3, rows=64).missed(0.1, targets=4096).own_target
        0.729

        """
        rows = self.cuts + min(self.rows, targets)
        chances = ((1 - share) ** looked for looked in (self.cuts, rows))
        own, row = (round(chance, 6) for chance in chances)
        return Missed(share, own_target=own, distribution=row)

    def draw_cuts(self, stream: Stream) -> list[int]:
        """
        Draw targets that are no BOS, one from each of as many equal parts of the stream.

        Args:
            stream: The tokens.

        Returns:
            Targets, ascending.

        Raises:
            UsageError: There are too few tokens.

        """
        draw = np.random.default_rng(self.seed)
        eligible = np.flatnonzero(stream.ids[1:] != stream.bos_id)
        if eligible.size < self.cuts:
            raise UsageError(f"{eligible.size} tokens are too few to sample {self.cuts} of")
        return [int(draw.choice(part)) for part in np.array_split(eligible, self.cuts)]

    def draw_rows(self, stream: Stream) -> list[int]:
        """
        Draw targets.

        Args:
            stream: The tokens.

        Returns:
            Targets, ascending; all of them where there are fewer than ``rows``.

        """
        targets = stream.ids.size - 1
        draw = np.random.default_rng(self.seed + 1)
        drawn = draw.choice(targets, size=min(self.rows, targets), replace=False)
        return sorted(drawn.tolist())

    def replaced(self, stream: Stream, targets: NDArray[np.bool_], vocab_size: int) -> Stream:
        """
        Replace tokens by others, BOS neither by nor for another.

        Where documents start is no secret: it decides what runs when, not what it says.

        Args:
            stream: The tokens, shape (N,).
            targets: Which are replaced, shape (N - 1,): target i is token i + 1.
            vocab_size: Ids are below this.

        Returns:
            The stream with every such token changed.

        """
        draw = np.random.default_rng(self.seed + 2)
        ids = stream.ids.astype(np.int64)
        others = vocab_size - 1
        number = ids - (ids > stream.bos_id)
        number = (number + draw.integers(1, others, size=ids.size)) % others
        changed = np.append(False, targets) & (ids != stream.bos_id)
        ids[changed] = (number + (number >= stream.bos_id))[changed]
        return replace(stream, ids=ids.astype(stream.ids.dtype))
