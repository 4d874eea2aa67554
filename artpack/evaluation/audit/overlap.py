"""
Text that training has seen, found by winnowed n-grams of tokens.

Of every few neighbouring n-grams the one with the least hash is kept, so two streams
that share a long enough run keep the same ones of it, wherever it lies. Short documents,
in which one change breaks every run, are compared whole but for any one token.

Source: Schleimer, Wilkerson and Aiken, "Winnowing", SIGMOD 2003.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.tokens.documents import document_spans
from artpack.evaluation.tokens.shards import Tokens, read_tokens
from artpack.evaluation.tokens.stream import Stream

GRAM_TOKENS = 16
WINDOW_GRAMS = 4
RUN_TOKENS = GRAM_TOKENS + WINDOW_GRAMS - 1
"""A run of so many tokens in common is always found."""

SHORT_TOKENS = 64
"""Documents with fewer are compared whole, too, any one token aside."""

MASKED_TOKENS = 8
"""Documents with fewer are compared with no token aside."""

SHARED = 0.5
"""Share of a document in common runs that makes it one of training."""

_BLOCK_TOKENS = 1 << 22
_ODD = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Prints:
    """
    Fingerprints of a stream.

    Attributes:
        hashes: Of grams and of short documents, shape (n,).
        first: First token that each is of, int64, shape (n,).
        end: Where it ends, int64, shape (n,).
    """

    hashes: Hashes
    first: NDArray[np.int64]
    end: NDArray[np.int64]


def judge_overlap(stream: Stream, shards: Sequence[Path | Tokens]) -> Condition:
    """
    Look for the documents of a stream among those of training, changed a little or not.

    Args:
        stream: All tokens that are scored.
        shards: Training tokens of the same tokenizer, one document after another: files, or
            arrays (tokens,).

    Returns:
        The finding; its numbers have the share of the tokens that training has seen.

    """
    ours = fingerprints(stream.ids, stream.bos_id)
    order = np.argsort(ours.hashes, kind="stable")
    keys, places = ours.hashes[order], np.full(ours.hashes.size, -1)
    tokens = documents = 0
    for number, shard in enumerate(shards):
        ids = read_tokens(str(shard)) if isinstance(shard, Path) else shard
        starts = np.array([start for start, _ in document_spans(ids, stream.bos_id)])
        tokens, documents = tokens + ids.size, documents + starts.size
        theirs = fingerprints(ids, stream.bos_id)
        seen = _look_up(keys, theirs.hashes)
        inside = starts[np.searchsorted(starts, theirs.first[seen], side="right") - 1]
        _note(keys, places, theirs.hashes[seen], inside * len(shards) + number)
    found = np.full(keys.size, -1)
    found[order] = places
    return _finding(stream, ours, found, shards, f"{documents:,} documents of {tokens:,} tokens")


def fingerprints(ids: Tokens, bos_id: int) -> Prints:
    """
    Fingerprint a stream.

    Args:
        ids: The stream, shape (N,).
        bos_id: The id that starts a document; no gram goes across it.

    Returns:
        Its winnowed grams, and its short documents.

    """
    parts = [*_grams(ids, bos_id), *_short_documents(ids, bos_id)]
    hashes, first, end = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Prints(hashes, first, end)


_Part = tuple[Hashes, NDArray[np.int64], NDArray[np.int64]]


def _grams(ids: Tokens, bos_id: int) -> Iterator[_Part]:
    """Yield the winnowed grams, block by block; blocks overlap so that no window is lost."""
    yield np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64)
    for low in range(0, ids.size, _BLOCK_TOKENS):
        block = ids[low : low + _BLOCK_TOKENS + RUN_TOKENS - 1]
        if block.size < GRAM_TOKENS:
            continue
        hashes = _mixed(block)
        length = 1
        while length < GRAM_TOKENS:
            hashes = _scrambled(hashes[:-length] * _ODD + hashes[length:])
            length *= 2
        starts = np.append(0, np.cumsum(block == bos_id))
        inside = starts[GRAM_TOKENS:] == starts[:-GRAM_TOKENS]
        at = np.flatnonzero(_winnowed(hashes, inside))
        yield hashes[at], at + low, at + low + GRAM_TOKENS


def _winnowed(hashes: Hashes, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choose the grams that are the least of some window."""
    padding = np.full(WINDOW_GRAMS - 1, np.iinfo(np.uint64).max, np.uint64)
    own = np.where(inside, hashes, np.iinfo(np.uint64).max)
    padded = np.concatenate([padding, own, padding])
    least = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_GRAMS).min(axis=1)
    # A gram is kept where the greatest of the least values of its windows is its own hash.
    greatest = np.lib.stride_tricks.sliding_window_view(least, WINDOW_GRAMS).max(axis=1)
    kept: NDArray[np.bool_] = inside & (greatest == own)
    return kept


def _short_documents(ids: Tokens, bos_id: int) -> Iterator[_Part]:
    """Yield a hash for each token of a short document: of all the others, in their places."""
    for start, stop in document_spans(ids, bos_id):
        first = start + int(ids[start] == bos_id)
        length = stop - first
        if not 0 < length < SHORT_TOKENS:
            continue
        place = np.arange(1, length + 1, dtype=np.uint64)
        terms = _scrambled(_mixed(ids[first:stop]) * _ODD + _scrambled(place))
        whole = terms.sum(keepdims=True) + _scrambled(np.array([length], np.uint64))
        hashes = whole if length < MASKED_TOKENS else whole - terms
        yield _scrambled(hashes), np.full(hashes.size, first), np.full(hashes.size, stop)


def _mixed(ids: Tokens) -> Hashes:
    return _scrambled(ids.astype(np.uint64) + _ODD)


def _scrambled(hashes: Hashes) -> Hashes:
    """Spread every bit of a hash over all of it: the finalizer of MurmurHash3."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(factor)
    return hashes ^ (hashes >> np.uint64(33))


def _look_up(keys: Hashes, hashes: Hashes) -> NDArray[np.int64]:
    """Return which hashes are among sorted keys."""
    if not keys.size:
        return np.empty(0, np.int64)
    at = np.minimum(np.searchsorted(keys, hashes), keys.size - 1)
    return np.flatnonzero(keys[at] == hashes)


def _note(
    keys: Hashes, places: NDArray[np.int64], hashes: Hashes, where: NDArray[np.int64]
) -> None:
    """Write down where each key was seen first."""
    hashes, first = np.unique(hashes, return_index=True)
    low, high = np.searchsorted(keys, hashes), np.searchsorted(keys, hashes, side="right")
    at = np.repeat(low, high - low) + _counted(high - low)
    new = places[at] < 0
    places[at[new]] = np.repeat(where[first], high - low)[new]


def _counted(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, ... for each length, one after another."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _finding(
    stream: Stream,
    ours: Prints,
    found: NDArray[np.int64],
    shards: Sequence[Path | Tokens],
    training: str,
) -> Condition:
    seen = found >= 0
    edges = np.bincount(ours.first[seen], minlength=stream.ids.size + 1) - np.bincount(
        ours.end[seen], minlength=stream.ids.size + 1
    )
    covered = np.append(0, np.cumsum(np.cumsum(edges)[: stream.ids.size] > 0))
    own = np.append(0, np.cumsum(stream.ids != stream.bos_id))
    spans = [s for s in document_spans(stream.ids, stream.bos_id) if own[s[1]] > own[s[0]]]
    shares = [(covered[b] - covered[a]) / (own[b] - own[a]) for a, b in spans]
    overall = float(covered[-1] / max(own[-1], 1))

    places, index = np.unique(ours.first[seen], return_index=True)
    where = found[seen][index]

    def violations() -> Iterator[str]:
        for (start, _), share in zip(spans, shares, strict=True):
            if share >= SHARED:
                at, number = divmod(int(where[np.searchsorted(places, start)]), len(shards))
                yield (
                    f"the document at token {start:,} is in {_name(shards[number])} at token"
                    f" {at:,}: {share:.0%} of it"
                )

    return Condition.judge(
        "overlap",
        f"no scored document has half of its tokens in runs of {GRAM_TOKENS} or more that"
        f" training has, and none of less than {SHORT_TOKENS} tokens differs in one alone",
        f"{len(spans):,} documents against {training}; {overall:.2%} of the scored tokens lie in"
        f" such runs; runs of {RUN_TOKENS} are always found, copies changed more often are missed",
        violations(),
        numbers={"shared_tokens": overall},
    )


def _name(shard: Path | Tokens) -> str:
    return shard.name if isinstance(shard, Path) else "the training tokens"
