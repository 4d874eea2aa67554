"""Trellises are those of the literature: sound, and as good as published."""

import numpy as np
import pytest
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.stages.trellis import POLYNOMIALS, spacing, trellis

MEMORY_FREE_BITS = {4: 0.167, 8: 0.182, 16: 0.191}
"""Bits saved at high rate against a plain grid, measured on long Gaussian sequences."""


@pytest.mark.parametrize("states", POLYNOMIALS)
def test_every_state_has_two_successors_and_two_predecessors(states: int) -> None:
    table = trellis(states)
    assert (np.bincount(table[:, 1:].ravel(), minlength=states) == 2).all()
    assert (table[:, 1] != table[:, 2]).all()


@pytest.mark.parametrize("states", POLYNOMIALS)
def test_half_of_the_states_use_the_even_points(states: int) -> None:
    assert trellis(states)[:, 0].sum() == states // 2


@pytest.mark.parametrize("states", MEMORY_FREE_BITS)
def test_the_error_at_a_given_density_is_as_published(states: int) -> None:
    values = np.random.default_rng(0).uniform(-50, 50, 20_000)
    # Points of one state are two apart, so a plain grid of that density has an error of 4/12.
    saved = 0.5 * np.log2(4 / 12 / _least_error(values, trellis(states)))
    assert saved == pytest.approx(MEMORY_FREE_BITS[states], abs=0.006)


def test_the_plain_grid_is_a_trellis_of_one_state() -> None:
    assert trellis(1).tolist() == [[0, 0, 0]]
    assert (spacing(1), spacing(8)) == (1, 2)


def test_there_are_no_other_trellises() -> None:
    with pytest.raises(UsageError, match="no trellis of 12 states"):
        trellis(12)


def _least_error(values: NDArray[np.float64], table: NDArray[np.int32]) -> float:
    """Return the mean squared error of the best path: Viterbi's search, all states at once."""
    states = len(table)
    costs = np.where(np.arange(states) == 0, 0.0, np.inf)
    parity, following = table[:, 0], table[:, 1:]
    for value in values:
        low = np.floor((value - parity) / 2).astype(np.int64)
        best = np.full(states, np.inf)
        for symbols in (low, low + 1):
            error = (2 * symbols + parity - value) ** 2
            np.minimum.at(best, following[np.arange(states), symbols & 1], costs + error)
        costs = best
    return float(costs.min()) / len(values)
