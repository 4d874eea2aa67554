"""Contexts and repeats are found where they are, and nowhere else."""

import numpy as np
import pytest
from numpy.typing import NDArray

from artpack.coding.contexts import context_bits, repeated_rows


def entropy(counts: NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def test_symbols_of_their_own_gain_nothing_by_contexts() -> None:
    symbols = np.random.default_rng(0).binomial(60, 0.5, 50_000).astype(np.uint8)
    bits = context_bits(symbols)
    assert bits.without == pytest.approx(50_000 * entropy(np.bincount(symbols)), rel=0.02)
    assert bits.within > 0.999 * bits.without


def test_symbols_that_follow_each_other_gain_what_theory_says() -> None:
    chance = np.random.default_rng(1)
    changes = chance.random(50_000) < 0.1
    symbols = (np.cumsum(changes) % 2).astype(np.uint8)
    bits = context_bits(symbols)
    assert bits.without == pytest.approx(50_000, rel=0.03)
    assert bits.within == pytest.approx(50_000 * entropy(np.array([9, 1])), rel=0.02)


def test_two_symbols_of_context_are_seen() -> None:
    chance = np.random.default_rng(2)
    symbols, drawn = chance.integers(0, 7, 30_000), chance.random(30_000) < 0.02
    for i in np.flatnonzero(~drawn[2:]) + 2:
        symbols[i] = (2 * symbols[i - 1] + 3 * symbols[i - 2] + 1) % 7
    bits = context_bits(symbols.astype(np.uint8))
    assert bits.without > 30_000 * 2.7
    assert bits.within < 0.3 * bits.without


@pytest.mark.parametrize(("rows", "share"), [([0, 1, 2, 3], 0.0), ([0, 1, 1, 0], 0.5), ([], 0.0)])
def test_repeated_rows_are_counted_over_all_parts(rows: list[int], share: float) -> None:
    parts = tuple(np.full((1, 20), row, np.uint8) for row in rows)
    assert repeated_rows(parts) == share


def test_rows_of_a_few_symbols_repeat_by_chance_and_do_not_count() -> None:
    assert repeated_rows((np.zeros((100, 2), np.uint8),)) == 0.0
