"""The gain of n-gram mixing, beside what the published lookup would have claimed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.ngram.lookup import HashedLookup
from artpack.evaluation.ngram.mixing import MIXERS
from artpack.evaluation.scoring.evaluators import mix
from artpack.evaluation.scoring.observation import Observed
from artpack.evaluation.scoring.summary import Score, score_losses
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.windows.plan import Coverage


@dataclass(frozen=True)
class NgramReport:
    """
    A mixture beside what it is made of, and beside what is no mixture.

    Attributes:
        mixer: How weights were found.
        mixed: The score.
        model: Of the model alone.
        published_rule: Of the published rule with exact counts.
        claimed: What the published lookup calls its score; no code has this length.
        sampled: Targets at which whole distributions were added up.
        mixed_sum_error: How far the mixture's are from 1 there, at most.
        claimed_sum: What the lookup's "probabilities" add up to there, on average.
        claimed_buckets: Counters per table of the lookup.
        claimed_chunk_tokens: Targets that it scores before it counts them.
    """

    mixer: str
    mixed: Score
    model: Score
    published_rule: Score
    claimed: Score
    sampled: int
    mixed_sum_error: float
    claimed_sum: float
    claimed_buckets: int
    claimed_chunk_tokens: int


def report_ngrams(seen: Observed, stream: Stream, coverage: Coverage, *, mixer: str) -> NgramReport:
    """
    Mix, and compare.

    Args:
        seen: What the model said, with some targets watched.
        stream: The tokens that it scored.
        coverage: Of them.
        mixer: A key of :data:`~artpack.evaluation.ngram.mixing.MIXERS`.

    Returns:
        All scores on the same tokens.

    Raises:
        UsageError: Some target was scored twice, or not at all with others after it.

    """

    def summed(log_probs: NDArray[np.float64]) -> Score:
        targets = np.flatnonzero(seen.times)
        return score_losses(
            -log_probs[targets],
            targets,
            stream.ids,
            stream.byte_counts,
            coverage=coverage,
            bos_id=stream.bos_id,
        )

    mixed = {name: mix(seen, stream, make()) for name, make in MIXERS.items()}
    lookup = HashedLookup.scaled(stream.ids.size - 1)
    found = lookup.look_up(stream.ids, watch=seen.watched.tolist(), vocab_size=seen.rows.shape[1])
    at = seen.watched
    alpha = lookup.rule.alpha(seen.entropy[at], found.order[at])[:, None]
    claimed_rows = (1 - alpha) * seen.rows + alpha * found.watched
    return NgramReport(
        mixer=mixer,
        mixed=summed(mixed[mixer].log_probs),
        model=summed(seen.log_probs),
        published_rule=summed(mixed["published"].log_probs),
        claimed=summed(np.log(lookup.claim(np.exp(seen.log_probs), seen.entropy, found))),
        sampled=at.size,
        mixed_sum_error=float(np.abs(mixed[mixer].rows.sum(axis=1) - 1).max(initial=0.0)),
        claimed_sum=float(claimed_rows.sum(axis=1).mean()),
        claimed_buckets=lookup.buckets,
        claimed_chunk_tokens=lookup.chunk_tokens,
    )
