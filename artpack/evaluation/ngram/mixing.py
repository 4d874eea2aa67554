"""
One distribution from the model's and from what followed the same contexts so far.

Start with the model; for each order from the shortest to the longest, mix in the shares
of the tokens that followed the context: p <- (1 - a) p + a count / total. Every step
mixes two distributions, so the result sums to one, and the probability of one token
takes one count per order. The weight a is a logistic function of how often the context
occurred, how many different tokens followed it and how unsure the model is. It is
learned on the way, from tokens that have been scored. A token is counted right after
it has been scored, before the next one is.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluation.ngram.counts import Evidence, NgramCounts
from artpack.evaluation.ngram.published import PublishedRule
from artpack.evaluation.tokens.shards import Tokens
from artpack.stages import nearest
from artpack.system.jit import jit

Floats: TypeAlias = NDArray[np.float64]

MIN_ORDER = 2
MAX_ORDER = 9
RATE = 0.02
_BIAS = 2.0
_START = -1.0


class Mixer(Protocol):
    """Mixes as it goes along a stream."""

    def distribution(self, model: Floats, entropy: float) -> Floats:
        """
        Return the distribution of the next token.

        Args:
            model: The model's distribution, shape (V,).
            entropy: Of it, nats.

        Returns:
            The mixed distribution, shape (V,), of the same sum.

        """

    def absorb(self, ids: Tokens, log_probs: Floats, entropy: Floats) -> Floats:
        """
        Score tokens one by one, counting each when it has been scored.

        Args:
            ids: The tokens, shape (N,).
            log_probs: The model's log-probability of each, nats, shape (N,).
            entropy: Of the model's distribution before each, nats, shape (N,).

        Returns:
            The mixed log-probability of each, shape (N,).

        """


class Learned:
    """Mixes all orders with weights that are learned from scored tokens."""

    def __init__(self) -> None:
        self._counts = NgramCounts(MIN_ORDER, MAX_ORDER)
        # For each order: bias, log occurrences, log different followers, model's entropy.
        self._gates = np.zeros((MAX_ORDER - MIN_ORDER + 1, 4))
        self._gates[:, 0] = _START

    def distribution(self, model: Floats, entropy: float) -> Floats:
        """Return the distribution of the next token, as :class:`Mixer` says."""
        mixed = model
        for i, gate in enumerate(self._gates):
            followers = self._counts.followers(MIN_ORDER + i, model.size)
            if total := int(followers.sum()):
                weight = _weight(gate, total, int(np.count_nonzero(followers)), entropy)
                mixed = (1 - weight) * mixed + weight * (followers / total)
        return mixed

    def absorb(self, ids: Tokens, log_probs: Floats, entropy: Floats) -> Floats:
        """Score tokens and learn from them, as :class:`Mixer` says."""
        probs = np.exp(log_probs, dtype=np.float64)
        _mix(probs, entropy, self._counts.absorb(ids), self._gates)
        return np.log(probs)


class Published:
    """
    Mixes by the rule of PR 826, but with exact counts.

    Args:
        rule: Orders, smallest count and weights.
    """

    def __init__(self, rule: PublishedRule | None = None) -> None:
        self.rule = rule or PublishedRule()
        self._counts = NgramCounts(self.rule.min_order, self.rule.max_order)

    def distribution(self, model: Floats, entropy: float) -> Floats:
        """Return the distribution of the next token, as :class:`Mixer` says."""
        for order in reversed(self.rule.orders):
            followers = self._counts.followers(order, model.size)
            if (total := int(followers.sum())) >= max(self.rule.min_count, 1):
                alpha = float(self.rule.alpha(np.array([entropy]), np.array([order]))[0])
                return (1 - alpha) * model + alpha * (followers / total)
        return model

    def absorb(self, ids: Tokens, log_probs: Floats, entropy: Floats) -> Floats:
        """Score tokens, as :class:`Mixer` says."""
        order, share = self.rule.backoff(self._counts.absorb(ids))
        alpha = self.rule.alpha(entropy, order)
        probs: Floats = (1 - alpha) * np.exp(log_probs, dtype=np.float64) + alpha * share
        mixed: Floats = np.log(probs)
        return mixed


MIXERS: Mapping[str, Callable[[], Mixer]] = {"learned": Learned, "published": Published}


def check_mixer(name: str) -> None:
    """
    Check that there is such a mixer.

    Args:
        name: A key of :data:`MIXERS`.

    Raises:
        UsageError: There is none.

    """
    if name not in MIXERS:
        raise UsageError(f"no weights of n-grams {name!r}{nearest(name, MIXERS)}")


@jit()
def _weight(gate: Floats, total: int, distinct: int, entropy: float) -> float:
    """Return how much an order's share counts, in (0, 1)."""
    score = _BIAS * gate[0] + gate[1] * np.log(total) + gate[2] * np.log(distinct)
    weight: float = 1 / (1 + np.exp(-(score + gate[3] * entropy)))
    return weight


@jit()
def _mix(probs: Floats, entropy: Floats, evidence: Evidence, gates: Floats) -> None:
    """Replace the model's probabilities of tokens by the mixed ones; learn the gates."""
    orders = gates.shape[0]
    below, weights, shares = np.empty(orders), np.empty(orders), np.empty(orders)
    for i in range(probs.size):
        p = probs[i]
        for n in range(orders):
            followed, total, distinct = evidence[i, n]
            below[n], weights[n] = p, 0.0
            if total:
                shares[n] = followed / total
                weights[n] = _weight(gates[n], total, distinct, entropy[i])
                p = (1 - weights[n]) * p + weights[n] * shares[n]
        probs[i] = p
        # Down the derivative of log p: d p / d below = 1 - weight, order by order.
        slope = 1 / p
        for n in range(orders - 1, -1, -1):
            followed, total, distinct = evidence[i, n]
            if total:
                a = weights[n]
                step = RATE * slope * a * (1 - a) * (shares[n] - below[n])
                gates[n, 0] += step * _BIAS
                gates[n, 1] += step * np.log(total)
                gates[n, 2] += step * np.log(distinct)
                gates[n, 3] += step * entropy[i]
                slope *= 1 - a
