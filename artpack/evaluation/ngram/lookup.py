"""
The hashed n-gram lookup that PR 826 was published with, collisions and all.

It keeps counts in hash tables that it does not verify, looks up the observed target
alone and caps the result at one. As tables fill up, every token of the vocabulary seems
to have followed every context, so what it takes for probabilities sums to hundreds and
its loss is no code length. It is here so that a report can show what it would claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluation.ngram.published import PublishedRule
from artpack.evaluation.tokens.shards import Tokens
from artpack.system.jit import jit

PRIMES = (36313, 27191, 51647, 81929, 131071, 174763, 233017, 283721, 347237)
PUBLISHED_TARGETS = 62_021_632
PUBLISHED_BUCKETS = 1 << 22
PUBLISHED_CHUNK_TOKENS = 1_000_000
CLAMP = 1e-10

Ids: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True)
class Lookups:
    """
    What the hashed lookup found at each target.

    Attributes:
        order: Of the longest context whose counter says that it is known; 0 for none.
        share: What it takes for the target's probability, in [0, 1].
        watched: The same for every token of the vocabulary, at the watched targets,
            shape (watched, V). No distribution.
        contexts: Counters of contexts that are not zero in the end, by order from 0 on.
        counted: Sum of the counters of contexts with targets, by order from 0 on.
    """

    order: NDArray[np.int64]
    share: NDArray[np.float64]
    watched: NDArray[np.float64]
    contexts: NDArray[np.int64]
    counted: NDArray[np.int64]


@dataclass(frozen=True)
class HashedLookup:
    """
    The published lookup, exactly, collisions and all. Not a probability.

    Attributes:
        rule: Orders and the smallest count.
        buckets: Counters per table, a power of two.
        chunk_tokens: Targets that are scored before they are counted.

    Source: PR 826.

    """

    rule: PublishedRule = field(default_factory=PublishedRule)
    buckets: int = PUBLISHED_BUCKETS
    chunk_tokens: int = PUBLISHED_CHUNK_TOKENS

    def __post_init__(self) -> None:
        if self.buckets < 1 or self.buckets & (self.buckets - 1):
            raise UsageError(f"buckets must be a power of two, got {self.buckets}")
        if self.chunk_tokens < 1:
            raise UsageError(f"chunk_tokens must be 1 or more, got {self.chunk_tokens}")

    @classmethod
    def scaled(cls, targets: int) -> Self:
        """
        Size tables and chunks for a shorter stream, as full as the published ones.

        Args:
            targets: Of the stream.

        Returns:
            The published sizes at the published length.

        >>> HashedLookup.scaled(PUBLISHED_TARGETS) == HashedLookup()
        True

        """
        share = targets / PUBLISHED_TARGETS
        buckets = 1 << max(round(np.log2(PUBLISHED_BUCKETS * share)), 0) if targets else 1
        chunk = max(round(PUBLISHED_CHUNK_TOKENS * share), 1)
        return cls(buckets=buckets, chunk_tokens=chunk)

    def look_up(self, ids: Tokens, *, watch: Sequence[int] = (), vocab_size: int = 0) -> Lookups:
        """
        Score all targets chunk by chunk, counting each chunk when it has been scored.

        Args:
            ids: The stream, shape (N,); target i is token i + 1.
            watch: Targets whose whole row is wanted, ascending.
            vocab_size: Length of those rows.

        Returns:
            What was found, shape (N - 1,).

        """
        orders = self.rule.orders
        shape = len(orders), self.buckets
        primes = np.array(PRIMES, np.uint64)
        tables = _Tables(np.zeros(shape, np.int32), np.zeros(shape, np.int32), primes, orders.start)
        targets = max(ids.size - 1, 0)
        order, share = np.zeros(targets, np.int64), np.zeros(targets)
        watched = np.zeros((len(watch), vocab_size))
        stream = ids.astype(np.uint64)
        for low in range(0, targets, self.chunk_tokens):
            chunk = slice(low, min(low + self.chunk_tokens, targets))
            _look_up(tables, stream, low, self.rule.min_count, order[chunk], share[chunk])
            for row, target in zip(watched, watch, strict=True):
                if chunk.start <= target < chunk.stop and order[target]:
                    _row(tables, stream, target, order[target], row)
            _count(tables, stream, chunk.start, chunk.stop)
        below = np.zeros(orders.start, np.int64)
        contexts = np.append(below, np.count_nonzero(tables.contexts, axis=1))
        counted = np.append(below, tables.joint.sum(axis=1, dtype=np.int64))
        return Lookups(order, share, watched, contexts, counted)

    def claim(
        self, probs: NDArray[np.float64], entropy: NDArray[np.float64], found: Lookups
    ) -> NDArray[np.float64]:
        """
        Mix as published.

        Args:
            probs: The model's probability of each target, shape (N,).
            entropy: Of the model's distribution, nats, shape (N,).
            found: What the lookup found there.

        Returns:
            What was taken for the targets' probabilities, shape (N,).

        """
        alpha = self.rule.alpha(entropy, found.order)
        mixed = (1 - alpha) * np.maximum(probs, CLAMP) + alpha * found.share
        return np.maximum(mixed, CLAMP)


class _Tables(NamedTuple):
    """Counters of contexts and of contexts with targets: (orders, buckets), ``first`` first."""

    contexts: NDArray[np.int32]
    joint: NDArray[np.int32]
    primes: NDArray[np.uint64]
    first: int


@jit()
def _context(tables: _Tables, ids: Ids, target: int, order: int) -> np.uint64:
    """Return the unreduced key of the tokens before a target."""
    key = np.uint64(0)
    for k in range(order - 1):
        key ^= ids[target + 2 - order + k] * tables.primes[k]
    return key


@jit()
def _joint(tables: _Tables, context: np.uint64, token: np.uint64, order: int) -> np.uint64:
    """Return the bucket of a context with a token."""
    prime = tables.primes[min(order, tables.primes.size) - 1]
    bucket: np.uint64 = (context ^ (token * prime)) % np.uint64(tables.joint.shape[1])
    return bucket


@jit()
def _share(tables: _Tables, context: np.uint64, token: np.uint64, order: int) -> float:
    known = tables.contexts[order - tables.first, context % np.uint64(tables.joint.shape[1])]
    both = tables.joint[order - tables.first, _joint(tables, context, token, order)]
    share: float = min(both, known) / max(known, 1)
    return share


@jit()
def _longest(tables: _Tables, target: int) -> int:
    """Return the longest n-gram that ends with a target and begins inside the stream."""
    longest: int = min(tables.first + tables.joint.shape[0] - 1, target + 2)
    return longest


@jit()
def _known_order(tables: _Tables, ids: Ids, target: int, min_count: int) -> int:
    buckets = np.uint64(tables.joint.shape[1])
    for order in range(_longest(tables, target), tables.first - 1, -1):
        context = _context(tables, ids, target, order)
        if tables.contexts[order - tables.first, context % buckets] >= min_count:
            return order
    return 0


@jit()
def _look_up(  # noqa: PLR0917 - numba knows no keywords
    tables: _Tables,
    ids: Ids,
    first: int,
    min_count: int,
    orders: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> None:
    for i in range(orders.size):
        orders[i] = _known_order(tables, ids, first + i, min_count)
        if orders[i]:
            context = _context(tables, ids, first + i, orders[i])
            shares[i] = _share(tables, context, ids[first + i + 1], orders[i])


@jit()
def _row(tables: _Tables, ids: Ids, target: int, order: int, shares: NDArray[np.float64]) -> None:
    context = _context(tables, ids, target, order)
    for token in range(shares.size):
        shares[token] = _share(tables, context, np.uint64(token), order)


@jit()
def _count(tables: _Tables, ids: Ids, first: int, end: int) -> None:
    buckets = np.uint64(tables.joint.shape[1])
    for target in range(first, end):
        for order in range(tables.first, _longest(tables, target) + 1):
            context, row = _context(tables, ids, target, order), order - tables.first
            tables.contexts[row, context % buckets] += 1
            tables.joint[row, _joint(tables, context, ids[target + 1], order)] += 1
