"""The order in which documents are scored, chunk by chunk, and learned from."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.recipe import Lora
from artpack.evaluation.ttt.recipe_windows import spans_of
from artpack.evaluation.ttt.strategy import Ranges


@dataclass(frozen=True, eq=False)
class DocumentGroup:
    """
    Documents that run at once.

    Attributes:
        number: Of the group, in the order of the documents.
        members: The documents' places in that order.
        starts: int64 (B,), each one's first target; by number of chunks, fewest first.
        lengths: int64 (B,), targets.
        chunks: int64 (B,), ascending.
    """

    number: int
    members: range
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    chunks: NDArray[np.int64]

    def share(self, rank: int, world: int) -> "DocumentGroup":
        """Return one process's documents; short and long ones are dealt out alike."""
        mine = slice(rank, None, world)
        parts = self.starts[mine], self.lengths[mine], self.chunks[mine]
        return DocumentGroup(self.number, self.members, *parts)

    def windows(self, chunk: int, chunk_tokens: int, window_tokens: int) -> NDArray[np.int64]:
        """
        Return the windows that score a chunk of every document that has so many.

        Args:
            chunk: Its number, from 0.
            chunk_tokens: Targets a chunk.
            window_tokens: The longest window.

        Returns:
            int64 (n, 3), start, length and first scored position; those of the last n
            documents of the group.

        """
        active = self.chunks > chunk
        lengths = self.lengths[active]
        ends = np.minimum((chunk + 1) * chunk_tokens, lengths)
        starts = np.maximum(ends - window_tokens, 0)
        columns = self.starts[active] + starts, ends - starts, chunk * chunk_tokens - starts
        return np.stack(columns, axis=1)

    def update(self, chunk: int, chunk_tokens: int) -> Ranges:
        """Return the chunk's targets in all documents that have a later one."""
        starts = self.starts[self.chunks - 1 > chunk] + chunk * chunk_tokens
        return [(first, first + chunk_tokens) for first in starts.tolist()]


@dataclass(frozen=True, eq=False)
class DocumentSchedule:
    """
    Documents in groups, in the order in which they run.

    Attributes:
        starts: int64 (D,), the documents' first targets, in the recipe's order.
        lengths: int64 (D,), their targets.
        recipe: Order, group size and chunk.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    recipe: Lora

    @classmethod
    def of(cls, stream: Stream, recipe: Lora) -> "DocumentSchedule":
        """Lay out the documents of a stream."""
        spans = np.array(spans_of(recipe, stream), np.int64).reshape(-1, 2)
        starts, lengths = spans[:, 0], spans[:, 1] - spans[:, 0]
        if recipe.order == "short-first":
            # Documents of as many chunks are alike: among them the stream's order stays.
            order = np.argsort(-(-lengths // recipe.chunk_tokens), kind="stable")
        elif recipe.order in ("long-last", "long-first"):
            order = np.argsort(lengths, kind="stable")
        else:
            order = np.arange(len(starts))
        return cls(starts[order], lengths[order], recipe)

    def groups(self) -> Iterator[DocumentGroup]:
        """Yield the groups in the order in which they run."""
        size, count = self.recipe.documents, -(-len(self.starts) // self.recipe.documents)
        numbers = range(count)
        for number in reversed(numbers) if self.recipe.order == "long-first" else numbers:
            members = range(number * size, min((number + 1) * size, len(self.starts)))
            chunks = -(-self.lengths[members] // self.recipe.chunk_tokens)
            inner = np.argsort(chunks, kind="stable")
            at = np.array(members)[inner]
            yield DocumentGroup(number, members, self.starts[at], self.lengths[at], chunks[inner])
