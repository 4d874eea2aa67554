"""Streams that are others from some place on, and where to cut."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.tokens.shards import Tokens

Kind = Literal["drawn", "scattered", "text", "single"]
KINDS: tuple[Kind, ...] = ("drawn", "scattered", "text", "single")
SCATTERED = 1 / 8
"""Share of the tokens after a cut that are drawn anew, where the text is to look like itself."""
_UNIFORM = 0.1
"""Weight of all tokens alike in what tokens are drawn from; the rest is how often they occur."""


@dataclass(frozen=True, eq=False)
class Altered:
    """
    A stream of the same length.

    Attributes:
        ids: The tokens, shape (N,).
        cut: The first that differs.
        drawn: Which tokens after the cut were drawn at random, int64, shape (n,).
        chances: How likely each of them was, float64, shape (n,).
    """

    ids: Tokens
    cut: int
    drawn: NDArray[np.int64]
    chances: NDArray[np.float64]


class Alterations:
    """
    Replaces tokens.

    Args:
        ids: The stream, shape (N,).
        vocab_size: Ids are below this.
        draw: Where chance comes from.
        fixed_id: An id that is neither replaced nor put in; None for no such id.
    """

    def __init__(
        self, ids: Tokens, vocab_size: int, draw: np.random.Generator, fixed_id: int | None = None
    ) -> None:
        self.ids, self.draw = ids, draw
        self.free = np.flatnonzero(ids != fixed_id) if fixed_id is not None else np.arange(ids.size)
        chances = np.bincount(ids, minlength=vocab_size) * ((1 - _UNIFORM) / ids.size)
        chances += _UNIFORM / vocab_size
        if fixed_id is not None and 0 <= fixed_id < vocab_size:
            chances[fixed_id] = 0
        self._chances: NDArray[np.float64] = chances / chances.sum()

    def cut(self, place: int, kind: Kind) -> Altered:
        """
        Replace the token at a place by another, and some or all of what follows.

        Args:
            place: Index of the token.
            kind: ``drawn``: all that follows, at random; ``scattered``: an eighth of it;
                ``text``: all, by text from elsewhere in the stream; ``single``: nothing else.

        Returns:
            The stream.

        """
        ids, later = self.ids.copy(), self.free[self.free > place]
        if kind == "text":
            pool = self.ids[self.free]
            start = self.draw.integers(pool.size)
            ids[later] = pool[(start + np.arange(later.size)) % pool.size]
        drawn = {
            "drawn": later,
            "scattered": later[self.draw.random(later.size) < SCATTERED],
        }.get(kind, later[:0])
        ids[drawn] = self.draw.choice(self._chances.size, size=drawn.size, p=self._chances)
        ids[place] = self._other(place)
        return Altered(ids, place, drawn, self._chances[ids[drawn]])

    def _other(self, place: int) -> int:
        """Return another token, as often as not the one before: repeats matter to many models."""
        token, previous = int(self.ids[place]), int(self.ids[place - 1])
        if place and previous != token and self._chances[previous] and self.draw.random() < 0.5:
            return previous
        chances = self._chances.copy()
        chances[token] = 0
        return int(self.draw.choice(chances.size, p=chances / chances.sum()))


def with_token(ids: Tokens, place: int, token: int) -> Altered:
    """
    Put one token in another's place.

    Args:
        ids: The stream, shape (N,).
        place: Index of the token.
        token: What to put there.

    Returns:
        The stream; nothing in it is drawn at random.

    """
    changed = ids.copy()
    changed[place] = token
    return Altered(changed, place, np.empty(0, np.int64), np.empty(0))


def tries(confidence: float, share: float) -> int:
    """
    Return how many random places find a leak with a chance.

    Args:
        confidence: The chance.
        share: Of the places that show the leak.

    Returns:
        The fewest.

    >>> tries(0.95, 0.01)
    299

    """
    return math.ceil(math.log1p(-confidence) / math.log1p(-share))


def suspicious_places(
    ids: Tokens, free: NDArray[np.int64], count: int, bos_id: int | None
) -> list[int]:
    """
    List places where leaks hide: the end, edges of chunks, documents and rare tokens.

    Args:
        ids: The stream, shape (N,).
        free: Places that can be cut, ascending.
        count: How many are wanted, at most.
        bos_id: The id that starts a document, if there is one.

    Returns:
        Places, the most suspicious first.

    """
    size = ids.size
    exponents = range(int(math.log2(size)), 2, -1)
    end = [size - 1, size - 2, size - 3, size - 5, size - 9, size - 17, size - 33]
    powers = [edge for e in exponents for edge in ((1 << e) + 1, 1 << e)]
    multiples = [size // (1 << e) * (1 << e) + extra for e in exponents for extra in (1, 0)]
    starts = np.flatnonzero(ids == bos_id)[::-1].tolist() if bos_id is not None else []
    occurrences = np.bincount(ids)[ids[:-1]]
    rare = (np.argsort(occurrences, kind="stable")[:count] + 1).tolist()
    rows = (end, powers, multiples, [s + 1 for s in starts], starts, rare)
    usable, found = set(free.tolist()), dict[int, None]()
    for turn in range(count):
        found |= dict.fromkeys(row[turn] for row in rows if turn < len(row))
    return [place for place in found if place in usable and place >= 2][:count]
