"""
Exact counts of what followed each context so far, for all orders at once.

The counts form a trie: the node of an n-gram hangs below the node of its first n - 1
tokens. All nodes lie in one open-addressing table whose keys are compared in full, so
nothing collides. A context that occurred once has no children yet, only a pointer to
where it occurred; the second time, the first continuation is made up for. This gives
the same counts with a fraction of the nodes, because most long contexts never return.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluation.tokens.shards import Tokens
from artpack.system.jit import jit

Evidence: TypeAlias = NDArray[np.int32]
"""What was known before each token, int32 (N, orders, 3): how often it had followed
the context, how often anything had, and how many different tokens had."""

Index: TypeAlias = int | np.signedinteger[Any]

_ROOT = 0
_COUNT, _DISTINCT, _WHERE = 0, 1, 2
_BLOCK_TOKENS = 4096
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class _Trie(NamedTuple):
    """Nodes, and the table that finds them; a node's key is its parent and its token."""

    keys: NDArray[np.int64]
    stats: NDArray[np.int32]
    """How often it occurred, how many children it has, where its first occurrence ends."""
    slots: NDArray[np.int32]
    """Node numbers by hashed key, -1 where free; a power of two of them."""
    history: NDArray[np.uint32]
    path: NDArray[np.int64]
    """Nodes of the last 0, 1, 2 ... tokens, -1 where there is none."""


class NgramCounts:
    """
    Counts over the tokens that were absorbed so far.

    Args:
        min_order: Shortest n-gram whose evidence is given, at least 1.
        max_order: Longest n-gram that is counted.

    Raises:
        UsageError: The orders are no range.

    """

    def __init__(self, min_order: int, max_order: int) -> None:
        if not 1 <= min_order <= max_order:
            raise UsageError(f"n-gram orders {min_order} to {max_order} are no range")
        self.min_order, self.max_order = min_order, max_order
        self.tokens, self.nodes = 0, 1
        self._trie = _Trie(
            keys=np.zeros(1, np.int64),
            stats=np.zeros((1, 3), np.int32),
            slots=np.full(2, -1, np.int32),
            history=np.zeros(0, np.uint32),
            path=np.full(max_order + 1, -1, np.int64),
        )
        self._trie.path[0] = _ROOT

    @property
    def memory_bytes(self) -> int:
        """Bytes that the tables take."""
        return sum(part.nbytes for part in self._trie)

    def absorb(self, ids: Tokens) -> Evidence:
        """
        Count tokens, one after the other.

        Args:
            ids: What follows the tokens absorbed before, shape (N,).

        Returns:
            What was known before each of them.

        Raises:
            UsageError: There are more than 2**31 n-grams.

        >>> NgramCounts(2, 3).absorb(np.array([5, 6, 5, 6, 7], np.uint16))[3:].tolist()
        [[[1, 1, 1], [0, 0, 0]], [[0, 1, 1], [0, 1, 1]]]

        """
        evidence = np.zeros((ids.size, self.max_order - self.min_order + 1, 3), np.int32)
        for low in range(0, ids.size, _BLOCK_TOKENS):
            part = slice(low, low + _BLOCK_TOKENS)
            self._absorb_block(ids[part], evidence[part])
        return evidence

    def followers(self, order: int, vocab_size: int) -> NDArray[np.int32]:
        """
        Return how often each token followed the present context.

        Args:
            order: The context is the last ``order - 1`` tokens.
            vocab_size: Number of ids.

        Returns:
            Counts, int32, shape (vocab_size,).

        """
        counts = np.zeros(vocab_size, np.int32)
        if (node := int(self._trie.path[order - 1])) < 0:
            return counts
        occurred, _, where = self._trie.stats[node]
        if order > 1 and occurred == 2:
            counts[self._trie.history[where + 1]] = 1
        else:
            _followers(self._trie, node, counts)
        return counts

    def _absorb_block(self, ids: Tokens, evidence: Evidence) -> None:
        end = self.tokens + ids.size
        self._make_room(end, self.nodes + 2 * self.max_order * ids.size)
        self._trie.history[self.tokens : end] = ids
        self.nodes = _absorb(self._trie, self.tokens, self.nodes, self.min_order, evidence)
        self.tokens = end

    def _make_room(self, tokens: int, nodes: int) -> None:
        if nodes >= 1 << 31:
            raise UsageError("n-gram counts hold fewer than 2,147,483,648 n-grams")
        trie, slots = self._trie, self._trie.slots
        keys, stats = _room(trie.keys, nodes), _room(trie.stats, nodes)
        if slots.size < nodes + nodes // 2:
            slots = np.full(1 << (nodes + nodes // 2 - 1).bit_length(), -1, np.int32)
        history = _room(trie.history, tokens)
        self._trie = _Trie(keys, stats, slots, history, trie.path)
        if slots is not trie.slots:
            _fill(self._trie, self.nodes)


def _room(array: NDArray[Any], size: int) -> NDArray[Any]:
    if size <= len(array):
        return array
    larger = np.zeros((size + size // 4, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


@jit()
def _slot(trie: _Trie, key: Index) -> Index:
    """Return the slot of a key: where it lies, or the free one where it belongs."""
    mask = trie.slots.size - 1
    at = np.int64((np.uint64(key) * _GOLDEN) >> np.uint64(32)) & mask
    while trie.slots[at] >= 0 and trie.keys[trie.slots[at]] != key:
        at = (at + 1) & mask
    return at


@jit()
def _fill(trie: _Trie, nodes: int) -> None:
    for node in range(1, nodes):
        trie.slots[_slot(trie, trie.keys[node])] = node


@jit()
def _followers(trie: _Trie, node: int, counts: NDArray[np.int32]) -> None:
    for token in range(counts.size):
        child = trie.slots[_slot(trie, (node << 32) | token)]
        if child >= 0:
            counts[token] = trie.stats[child, _COUNT]


@jit()
def _count(trie: _Trie, parent: Index, at: Index, nodes: int) -> tuple[Index, int]:
    """Count the token at a place below a node; return its node and the number of nodes."""
    key = (parent << 32) | np.int64(trie.history[at])
    slot = _slot(trie, key)
    if trie.slots[slot] < 0:
        trie.slots[slot] = nodes
        trie.keys[nodes] = key
        trie.stats[nodes, _WHERE] = at
        trie.stats[parent, _DISTINCT] += 1
        nodes += 1
    child = np.int64(trie.slots[slot])
    trie.stats[child, _COUNT] += 1
    return child, nodes


@jit()
def _absorb(trie: _Trie, tokens: int, nodes: int, min_order: int, evidence: Evidence) -> int:
    path, stats = trie.path, trie.stats
    for i in range(evidence.shape[0]):
        # Longest first: shorter contexts must not have counted this token yet.
        for context in range(path.size - 2, -1, -1):
            node = path[context]
            if node < 0 or (context > 0 and stats[node, _COUNT] == 1):
                path[context + 1] = -1
                continue
            if context > 0 and stats[node, _COUNT] == 2:
                _, nodes = _count(trie, node, stats[node, _WHERE] + 1, nodes)
            distinct = stats[node, _DISTINCT]
            path[context + 1], nodes = _count(trie, node, tokens + i, nodes)
            if context + 1 >= min_order:
                known = evidence[i, context + 1 - min_order]
                known[0] = stats[path[context + 1], _COUNT] - 1
                known[1] = stats[node, _COUNT] - (context > 0)
                known[2] = distinct
        stats[_ROOT, _COUNT] += 1
    return nodes
