"""
C2: the probabilities of all tokens that may come next sum to 1.

They are summed at some places. Everywhere else the evaluator is held to a bet: on tokens
that were drawn with known chances q, whatever came before, the expectation of p / q is the
sum of p. Someone who stakes a share of his money on it being more than 1 grows rich against
probabilities that sum to no more than 1 with a chance below one in his gain, so the gain
is a proof, however many tokens it took (Ville's inequality).

Source: Shafer, "Testing by betting", JRSS A 2021.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.black_box.answer import Losses

SUM_BOUND = 1e-4
"""Losses may come in float32."""
FALSE_ALARM = 1e-6
"""Chance, at most, that a legal score is called illegal by the bet."""
PEEK = 0.5
"""Probability that a make-believe leak gives to the token that it has seen."""

Ratios = NDArray[np.float64]

_KEPT = 256
"""Tokens of a stream, at least half of them, that make-believe leaks are tried on."""
_ROUNDS = 50
_STAKES = 2.0 ** -np.arange(1, 15)
_RULE = "the probabilities exp(-loss) of all tokens that may come next sum to 1, none is above 1"


@dataclass(frozen=True)
class Sum:
    """
    The sum of all probabilities at a place.

    Attributes:
        token: Index of the token.
        total: The sum.
        error: How far the losses of that token, and of another in its place, are from those
            that the evaluator lists when it is asked for all of them, nats.
    """

    token: int
    total: float
    error: float = 0.0


class Bet:
    """Stakes on tokens that were drawn at random: that their probabilities sum to more than 1."""

    def __init__(self) -> None:
        self.tokens = 0
        self._sum = self._squares = 0.0
        self._gains = np.zeros(_STAKES.size)
        self._kept: list[tuple[Ratios, Ratios]] = []

    def add(self, ratios: Ratios, chances: Ratios) -> None:
        """
        Bet on the tokens of one stream.

        Args:
            ratios: Probability that was claimed over chance, shape (n,).
            chances: Of these tokens, shape (n,).

        """
        self.tokens += ratios.size
        self._sum += float(ratios.sum())
        self._squares += float((ratios**2).sum())
        self._gains += _logs(ratios).sum(axis=0)
        step = 1 + ratios.size // _KEPT
        self._kept.append((ratios[::step], chances[::step]))

    @property
    def log_gain(self) -> float:
        """Logarithm of what 1 became, the mean over stakes from 1/2 down to 1/16384."""
        return _mean_gain(self._gains)

    @property
    def mean(self) -> float:
        """Unbiased estimate of the sum."""
        return self._sum / self.tokens if self.tokens else float("nan")

    @property
    def error(self) -> float:
        """Its standard error."""
        if not self.tokens:
            return float("nan")
        variance = max(self._squares / self.tokens - self.mean**2, 0.0)
        return math.sqrt(variance / self.tokens)

    def missed(self, share: float) -> float:
        """
        Say how likely it is that the bet is not won if some losses have seen their token.

        Args:
            share: Of the places that leak; each gives half of the probability to its token.

        Returns:
            The chance, of make-believe leaks at random among the tokens that were kept.

        """
        if not self._kept:
            return 1.0
        ratios, chances = (np.concatenate(part) for part in zip(*self._kept, strict=True))
        draw, missed = np.random.default_rng(0), 0
        honest = _logs(ratios)
        leaking = _logs(PEEK / chances) - honest
        for _ in range(_ROUNDS):
            leaks = draw.random(ratios.size) < share
            gains = honest.sum(axis=0) + leaking[leaks].sum(axis=0)
            missed += _mean_gain(gains) < -np.log(FALSE_ALARM)
        return float(missed / _ROUNDS)


def _logs(ratios: Ratios) -> Ratios:
    """Return the logarithm of what each stake becomes with each ratio, shape (n, stakes)."""
    return np.log1p((ratios[:, None] - 1) * _STAKES)


def _mean_gain(gains: Ratios) -> float:
    return float(np.logaddexp.reduce(gains) - np.log(_STAKES.size))


def judge_normalisation(losses: Losses, sums: list[Sum], bet: Bet, bound: float) -> Condition:
    """
    Judge C2.

    Args:
        losses: Of the stream as it is, shape (tokens - 1,).
        sums: At places where every token was tried.
        bet: On tokens drawn at random.
        bound: How much a loss may change by itself, nats.

    Returns:
        The finding.

    """
    tried = f"all tokens at {len(sums):,} places; " if sums else ""
    return Condition.judge(
        "C2",
        _RULE,
        f"{tried}{bet.tokens:,} tokens drawn at random: a sum of {bet.mean:.4g} ± {bet.error:.2g}",
        _abnormal(losses, sums, bet.log_gain, bound),
        numbers={
            "sum": bet.mean,
            "standard_error": bet.error,
            "log10_odds_against": bet.log_gain / float(np.log(10)),
            **{f"sum_at_token_{one.token}": one.total for one in sums},
        },
    )


def _abnormal(losses: Losses, sums: list[Sum], gain: float, bound: float) -> Iterator[str]:
    allowed = SUM_BOUND + float(np.expm1(bound))
    below = np.flatnonzero(losses < -allowed)
    if below.size:
        yield (
            f"{below.size:,} losses are below 0, the first is that of token {below[0] + 1:,}:"
            f" {losses[below[0]]:.6g} nats, a probability of {np.exp(-losses[below[0]]):.4g}"
        )
    for one in sums:
        if not abs(one.total - 1) <= allowed:
            yield f"probabilities at token {one.token:,} sum to {one.total:.6g}"
        if not one.error <= SUM_BOUND + bound:
            yield f"the loss of token {one.token:,} is {one.error:.4g} nats from the one listed"
    if gain >= -np.log(FALSE_ALARM):
        yield (
            "tokens drawn at random were given more probability than a sum of 1 allows: the"
            f" chance of it is at most 1e-{int(gain / np.log(10)):,}"
        )
