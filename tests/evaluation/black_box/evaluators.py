"""Small evaluators, legal ones and cheats; each is a function of tokens that gives losses."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint32]
Losses = NDArray[np.float64]
Evaluator = Callable[[Ids], Losses]

VOCAB = 64
TABLE = np.random.default_rng(5).dirichlet(np.full(VOCAB, 0.2), VOCAB) * 0.9 + 0.1 / VOCAB


def text(size: int = 600, seed: int = 0) -> Ids:
    """Return what the bigram model says, with documents that start with 1."""
    draw = np.random.default_rng(seed)
    ids = [1]
    while len(ids) < size:
        ids.append(1 if len(ids) % 150 == 0 else int(draw.choice(VOCAB, p=TABLE[ids[-1]])))
    return np.array(ids, np.uint32)


KNOWN = hash(text().tobytes())


def bigram(ids: Ids) -> Losses:
    """Score with a fixed model of the token before."""
    losses: Losses = -np.log(TABLE[ids[:-1], ids[1:]])
    return losses


def _distributions(ids: Ids, chunk: int) -> NDArray[np.float64]:
    """Mix the model with counts of what was scored, chunk by chunk: legal, and it learns."""
    counts, rows = np.full((VOCAB, VOCAB), 1 / VOCAB), np.empty((ids.size - 1, VOCAB))
    for low in range(0, ids.size - 1, chunk):
        high = min(low + chunk, ids.size - 1)
        before = ids[low:high]
        learned = counts[before] / counts[before].sum(axis=1, keepdims=True)
        rows[low:high] = (TABLE[before] + learned) / 2
        np.add.at(counts, (before, ids[low + 1 : high + 1]), 1)
    return rows


def adaptive(ids: Ids, chunk: int = 4) -> Losses:
    """Score first, then learn."""
    rows = _distributions(ids, chunk)
    losses: Losses = -np.log(rows[np.arange(ids.size - 1), ids[1:]])
    return losses


def _mixed(losses: Losses, where: NDArray[np.bool_], good: NDArray[np.bool_]) -> Losses:
    """Give 0.9 more to where a guess is right, a tenth of the rest where it is wrong."""
    return np.where(where, -np.log(0.1 * np.exp(-losses) + 0.9 * good), losses)


def _some(ids: Ids, share: float) -> NDArray[np.bool_]:
    """Choose targets by a hash of where they are."""
    return (np.arange(1, ids.size) * 2654435761 % 2**32) < share * 2**32


def _everywhere(ids: Ids) -> NDArray[np.bool_]:
    return np.ones(ids.size - 1, bool)


def peeks(ids: Ids, share: float = 0.01) -> Losses:
    """Know the target, at a share of the places."""
    return _mixed(bigram(ids), _some(ids, share), _everywhere(ids))


def peeks_late(ids: Ids, start: int = 400) -> Losses:
    """Know the target, from some place on."""
    return _mixed(bigram(ids), np.arange(1, ids.size) >= start, _everywhere(ids))


def knowing_the_next(ids: Ids) -> Losses:
    """Return losses of what lies between two tokens that are known: normalised, and illegal."""
    rows = TABLE[ids[:-2]] * TABLE[:, ids[2:]].T
    losses = -np.log(rows[np.arange(ids.size - 2), ids[1:-1]] / rows.sum(axis=1))
    return np.append(losses, bigram(ids)[-1])


def looks_ahead(ids: Ids, share: float = 0.05) -> Losses:
    """Know the token after the target, at a share of the places."""
    return np.where(_some(ids, share), knowing_the_next(ids), bigram(ids))


def looks_ahead_at_the_end(ids: Ids) -> Losses:
    """Look ahead in the last few tokens alone."""
    late = np.arange(1, ids.size) >= ids.size - 4
    return np.where(late, knowing_the_next(ids), bigram(ids))


def expects_repeats(ids: Ids) -> Losses:
    """Know at a tenth of the places whether the token after the target is the same."""
    return _mixed(bigram(ids), _some(ids, 0.1), np.append(ids[2:], 0) == ids[1:])


def learns_first(ids: Ids, chunk: int = 32) -> Losses:
    """Learn from a chunk before it is scored."""
    counts, losses = np.full((VOCAB, VOCAB), 1 / VOCAB), []
    for low in range(0, ids.size - 1, chunk):
        before, after = ids[:-1][low : low + chunk], ids[1:][low : low + chunk]
        np.add.at(counts, (before, after), 1)
        losses.append(-np.log(counts[before, after] / counts[before].sum(axis=1)))
    return np.concatenate(losses)


def two_passes(ids: Ids) -> Losses:
    """Score with what a first pass over everything has learned."""
    counts = np.full((VOCAB, VOCAB), 1 / VOCAB)
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    losses: Losses = -np.log(counts[ids[:-1], ids[1:]] / counts[ids[:-1]].sum(axis=1))
    return losses


def better_of_two(ids: Ids) -> Losses:
    """Take the better of two legal losses for each target."""
    return np.minimum(bigram(ids), adaptive(ids, 32))


def hashed_cache(ids: Ids) -> Losses:
    """Look up the target alone in counts that share buckets: the sum is far above 1."""
    pairs, contexts = np.zeros(16), np.zeros(16)
    losses = bigram(ids)
    for t in range(1, ids.size):
        context = int(ids[t - 1]) % 16
        pair = (int(ids[t - 1]) * 31 + int(ids[t])) % 16
        if contexts[context] >= 4:
            found = min(pairs[pair] / contexts[context], 1.0)
            losses[t - 1] = -np.log(0.5 * np.exp(-losses[t - 1]) + 0.5 * found)
        pairs[pair] += 1
        contexts[context] += 1
    return losses


def target_temperature(ids: Ids) -> Losses:
    """Sharpen the distribution where that helps the target."""
    rows, at = TABLE[ids[:-1]], (np.arange(ids.size - 1), ids[1:])
    sharp = rows**1.5 / (rows**1.5).sum(axis=1, keepdims=True)
    losses: Losses = -np.log(np.maximum(rows[at], sharp[at]))
    return losses


def unnormalised(ids: Ids) -> Losses:
    """Claim a little more than there is."""
    return bigram(ids) - 0.01


def leaves_out(ids: Ids) -> Losses:
    """Leave out what is hard."""
    losses = bigram(ids)
    return np.where(losses > 5, np.nan, losses)


def shortens(ids: Ids) -> Losses:
    """Leave the end out."""
    return bigram(ids)[:-11]


def knows_the_length(ids: Ids) -> Losses:
    """Decide by the length of the stream how it is scored."""
    return bigram(ids) if ids.size % 2 else adaptive(ids, 32)


def knows_the_text(ids: Ids) -> Losses:
    """Know the text by its hash, and look at its targets; be legal on any other."""
    return peeks(ids, 0.5) if hash(ids.tobytes()) == KNOWN else bigram(ids)


def by_the_mean(ids: Ids) -> Losses:
    """Scale by a statistic of everything that is to come, by a hair."""
    scale = 1 + 1e-6 * (ids.mean() - VOCAB / 2)
    rows = TABLE[ids[:-1]] ** scale
    losses: Losses = -np.log(rows[np.arange(ids.size - 1), ids[1:]] / rows.sum(axis=1))
    return losses


def noisy(ids: Ids) -> Losses:
    """Be another at every run, and call it the hardware."""
    return bigram(ids) + np.random.default_rng().normal(0, 1e-3, ids.size - 1)


class Keeps:
    """Keeps what it has counted for the next stream of the same process."""

    def __init__(self) -> None:
        self.counts = np.full((VOCAB, VOCAB), 1 / VOCAB)

    def __call__(self, ids: Ids) -> Losses:
        """Score with the counts, then count."""
        rows = (TABLE + self.counts / self.counts.sum(axis=1, keepdims=True)) / 2
        np.add.at(self.counts, (ids[:-1], ids[1:]), 1)
        losses: Losses = -np.log(rows[ids[:-1], ids[1:]])
        return losses


LEGAL: dict[str, Callable[[], Evaluator]] = {
    "a fixed model": lambda: bigram,
    "score first, few tokens at a time": lambda: partial(adaptive, chunk=4),
    "score first, in chunks": lambda: partial(adaptive, chunk=32),
}
CHEATS: dict[str, tuple[Callable[[], Evaluator], set[str]]] = {
    "peeks at 1% of the targets": (lambda: peeks, {"C2"}),
    "peeks from a place on": (lambda: peeks_late, {"C2"}),
    "looks one token ahead at 5%": (lambda: looks_ahead, {"C1"}),
    "looks ahead in the last 4 tokens": (lambda: looks_ahead_at_the_end, {"C1"}),
    "expects repeats of the target": (lambda: expects_repeats, {"C1"}),
    "learns a chunk first": (lambda: learns_first, {"C1"}),
    "two passes": (lambda: two_passes, {"C1"}),
    "better of two passes": (lambda: better_of_two, {"C2"}),
    "hashed cache": (lambda: hashed_cache, {"C2"}),
    "temperature by the target": (lambda: target_temperature, {"C2"}),
    "1% too much probability": (lambda: unnormalised, {"C2"}),
    "leaves out what is hard": (lambda: leaves_out, {"C3"}),
    "leaves the end out": (lambda: shortens, {"C3"}),
    "goes by the length": (lambda: knows_the_length, {"C4"}),
    "knows the text by its hash": (lambda: knows_the_text, {"C1", "C4"}),
    "scales by a mean of the future": (lambda: by_the_mean, {"C1"}),
    "keeps counts for the next stream": (Keeps, {"C4"}),
    "another at every run": (lambda: noisy, {"C1", "C4"}),
}
"""Each with conditions that it must break, at least."""
