"""Many columns searched at once have the very points that each has by itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from artpack.quantize.grids.lattice import Lattice
from artpack.quantize.rounding.watersic import WaterSic, solve
from artpack.quantize.trellis.lockstep import LANES, arrivals
from artpack.quantize.trellis.viterbi import search, search_columns
from artpack.stages.trellis import POLYNOMIALS, trellis


@pytest.mark.parametrize("states", [1, *POLYNOMIALS])
@pytest.mark.parametrize("cols", [1, 7, LANES + 3])
def test_columns_do_not_know_of_each_other(states: int, cols: int) -> None:
    targets = np.random.default_rng(states).normal(0, 7, (90, cols)).astype(np.float32)
    targets[3] = 1000.0  # beyond the radius
    targets[5] = 0.5  # a tie
    alone = [search(np.ascontiguousarray(column), states, 15) for column in targets.T]
    assert np.array_equal(search_columns(targets, states, 15), np.stack(alone, axis=1))


@pytest.mark.parametrize("states", [4, 64])
def test_no_rows_or_no_columns_have_no_points(states: int) -> None:
    for shape in ((0, 3), (3, 0)):
        assert search_columns(np.zeros(shape, np.float32), states, 15).shape == shape


@pytest.mark.parametrize("states", POLYNOMIALS)
def test_branches_arrive_where_the_trellis_sends_them(states: int) -> None:
    table = trellis(states)
    for after, pair in enumerate(arrivals(states).tolist()):
        assert pair == sorted(pair)
        assert {int(table[branch >> 1, 1 + (branch & 1)]) for branch in pair} == {after}


def test_without_data_columns_are_independent_and_solved_together() -> None:
    weight = torch.randn(40, LANES + 5, generator=torch.Generator().manual_seed(0))
    metric = WaterSic().metric((40, LANES + 5), None, None)
    assert metric.cols is None
    same = replace(metric, cols=np.eye(LANES + 5))
    together, one_by_one = (solve(weight, one, -2.0, Lattice(64, 31)) for one in (metric, same))
    for name, part in together.parts.items():
        assert np.array_equal(part, one_by_one.parts[name])
