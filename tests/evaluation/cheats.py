"""Evaluators that cheat, one for each way; the audit must catch every one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.ngram.lookup import HashedLookup
from artpack.evaluation.ngram.mixing import Learned
from artpack.evaluation.scoring.evaluators import Evaluator, mix
from artpack.evaluation.scoring.journal import Journal
from artpack.evaluation.scoring.observation import Pass
from artpack.evaluation.tokens.stream import Stream


@dataclass
class Cheat:
    """An honest evaluator, whose word is then twisted."""

    honest: Evaluator

    def __call__(self, stream: Stream, watch: Sequence[int]) -> Pass:
        """Score a stream."""
        return self.twist(self.honest(stream, watch), stream)

    def twist(self, seen: Pass, stream: Stream) -> Pass:
        """Return something better than what was seen."""
        raise NotImplementedError


class Peeks(Cheat):
    """Gives some probability to the target, because it knows it; all sums are 1."""

    def twist(self, seen: Pass, stream: Stream) -> Pass:
        """Return the distributions, each a little nearer to its target."""
        answers = stream.ids[1:][seen.watched].astype(np.int64)
        rows = 0.9 * seen.rows
        rows[np.arange(answers.size), answers] += 0.1
        log_probs = np.log(0.9 * np.exp(seen.log_probs) + 0.1)
        return replace(seen, rows=rows, log_probs=log_probs)


class LooksAhead(Cheat):
    """Knows what comes after its target and prefers what is equal to it."""

    def twist(self, seen: Pass, stream: Stream) -> Pass:
        """Return the distributions, each a little nearer to the token after its target."""
        after = np.append(stream.ids[2:], 0).astype(np.int64)
        rows = 0.9 * seen.rows
        rows[np.arange(seen.watched.size), after[seen.watched]] += 0.1
        log_probs = np.log(0.9 * np.exp(seen.log_probs) + 0.1 * (after == stream.ids[1:]))
        return replace(seen, rows=rows, log_probs=log_probs)


@dataclass
class UpdatesFirst(Cheat):
    """Counts a chunk in its n-gram cache before it is scored, and says so in the journal."""

    admits: bool = True
    chunk: int = 50

    def twist(self, seen: Pass, stream: Stream) -> Pass:
        """Return distributions that know their chunk."""
        targets, journal = stream.ids.size - 1, Journal()
        log_probs, rows = seen.log_probs.copy(), seen.rows.copy()
        for low in range(0, targets, self.chunk):
            high = min(low + self.chunk, targets)
            share = np.bincount(stream.ids[1 : high + 1], minlength=rows.shape[1]) / high
            if self.admits:
                journal.updated(low, high)
            journal.scored(low, high)
            log_probs[low:high] = np.log(
                (np.exp(log_probs[low:high]) + share[stream.ids[low + 1 : high + 1]]) / 2
            )
            inside = (seen.watched >= low) & (seen.watched < high)
            rows[inside] = (rows[inside] + share) / 2
        return replace(seen, log_probs=log_probs, rows=rows, journal=journal)


class PublishedLookup(Cheat):
    """The n-gram lookup of seed 826: a score of targets that is no distribution."""

    lookup = HashedLookup(buckets=64, chunk_tokens=40)

    def twist(self, seen: Pass, stream: Stream) -> Pass:
        """Return what was published as probabilities."""
        found = self.lookup.look_up(
            stream.ids, watch=seen.watched.tolist(), vocab_size=seen.rows.shape[1]
        )
        at, rule = seen.watched, self.lookup.rule
        alpha = rule.alpha(seen.entropy[at], found.order[at])[:, None]
        claimed = self.lookup.claim(np.exp(seen.log_probs), seen.entropy, found)
        rows = (1 - alpha) * seen.rows + alpha * found.watched
        return replace(seen, rows=rows, log_probs=np.log(claimed))


@dataclass
class Rescores(Cheat):
    """Takes the score of a second pass, made with what the first one has learned."""

    chooses: bool = False

    def twist(self, seen: Pass, stream: Stream) -> Pass:
        """Return the second pass, or the better of both for every target."""
        mixer, targets = Learned(), stream.ids.size - 1
        mixer.absorb(stream.ids[1:], seen.log_probs, seen.entropy)
        second = mix(seen, stream, mixer)
        if self.chooses:
            better = np.maximum(seen.log_probs, second.log_probs)
            return replace(second, log_probs=better)
        journal = Journal()
        for _ in range(2):
            journal.scored(0, targets)
        order = np.tile(np.arange(targets), 2)
        return replace(second, journal=journal, order=order)


class Skips(Cheat):
    """Leaves out what it finds hard."""

    def twist(self, seen: Pass, stream: Stream) -> Pass:
        """Return the scores without those of the last targets."""
        journal, end = Journal(), stream.ids.size - 11
        journal.scored(0, end)
        return replace(seen, journal=journal, order=np.arange(end))


class Backwards(Cheat):
    """Scores each half of a document after the one that follows it."""

    def twist(self, seen: Pass, stream: Stream) -> Pass:
        """Return the same scores in another order."""
        targets, journal = stream.ids.size - 1, Journal()
        journal.scored(targets // 2, targets)
        journal.scored(0, targets // 2)
        order = np.roll(np.arange(targets), targets // 2)
        return replace(seen, journal=journal, order=order)


def double_spaces(stream: Stream, leading_space: NDArray[np.bool_]) -> Stream:
    """Count the byte of each space twice: with the piece, and once more."""
    return replace(stream, byte_counts=stream.byte_counts + leading_space[stream.ids])


def missing_bytes(stream: Stream) -> Stream:
    """Count one byte a token at least, and no more than three."""
    return replace(stream, byte_counts=np.clip(stream.byte_counts, 1, 3))
