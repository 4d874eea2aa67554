"""
C2: the probabilities of all tokens that may come next sum to 1.

They are summed at some places. Everywhere else the evaluator is held to a bet: on tokens
that were drawn with known chances q, whatever came before, the expectation of p / q is the
sum of p. Someone who stakes a share of his money on it being more than 1 grows rich against
probabilities that sum to no more than 1 with a chance below one in his gain, so the gain
is a proof, however many tokens it took (Ville's inequality).

Source: Shafer, "Testing by betting", JRSS A 2021.
"""

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


def log_gain(ratios: Ratios) -> float:
    """
    Bet that probabilities sum to more than 1.

    Args:
        ratios: Probability that was claimed over chance, of tokens drawn at random, shape (n,).

    Returns:
        Logarithm of what 1 became, the mean over stakes from 1/2 down to 1/16384.

    """
    gains = np.array([np.log1p(stake * (ratios - 1)).sum() for stake in _STAKES])
    return float(np.logaddexp.reduce(gains) - np.log(_STAKES.size))


def peek_shows(ratios: Ratios, chances: Ratios, share: float) -> bool:
    """
    Say whether the bet would be won if some losses had known their token.

    Args:
        ratios: As they are.
        chances: With which the tokens were drawn.
        share: Of the places that are to leak; each gives half to its token.

    Returns:
        Whether the bet finds it.

    """
    leaks = np.random.default_rng(0).random(ratios.size) < share
    return bool(log_gain(np.where(leaks, PEEK / chances, ratios)) >= -np.log(FALSE_ALARM))


def judge_normalisation(losses: Losses, sums: list[Sum], ratios: Ratios, bound: float) -> Condition:
    """
    Judge C2.

    Args:
        losses: Of the stream as it is, shape (tokens - 1,).
        sums: At places where every token was tried.
        ratios: Claimed probability over chance, of tokens drawn at random.
        bound: How much a loss may change by itself, nats.

    Returns:
        The finding.

    """
    gain = log_gain(ratios)
    mean = float(ratios.mean()) if ratios.size else float("nan")
    error = float(ratios.std() / max(ratios.size, 1) ** 0.5) if ratios.size else float("nan")
    tried = f"all tokens at {len(sums):,} places; " if sums else ""
    return Condition.judge(
        "C2",
        _RULE,
        f"{tried}{ratios.size:,} tokens drawn at random: a sum of {mean:.4g} ± {error:.2g}",
        _abnormal(losses, sums, gain, bound),
        numbers={
            "sum": mean,
            "standard_error": error,
            "log10_odds_against": gain / float(np.log(10)),
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
