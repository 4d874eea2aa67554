"""Batches: what is run, what is set aside, and numbers that do not depend on either."""

from itertools import islice

import numpy as np
import pytest
import torch

from artpack.errors import UsageError
from artpack.runners.batches import LEARNED_TOKENS, ModuleBatches, TokenBatches

WINDOWS = np.arange(10 * 8).reshape(10, 8)


def test_windows_are_run_in_order_as_many_as_fit() -> None:
    batches = TokenBatches(WINDOWS, 31)
    loaded = [batches.load(index, "cpu") for index in range(len(batches))]
    assert [tuple(one.shape) for one in loaded] == [(3, 8)] * 3 + [(1, 8)]
    assert torch.equal(torch.cat(loaded), torch.from_numpy(WINDOWS))
    assert len(TokenBatches(WINDOWS, 1)) == 10
    assert batches.sha256 == TokenBatches(WINDOWS, 8).sha256
    assert batches.sha256 != TokenBatches(WINDOWS[::-1].copy(), 31).sha256


def test_numbers_belong_to_positions_whatever_the_batches() -> None:
    def all_of(batch_tokens: int, seed: int) -> torch.Tensor:
        batches = TokenBatches(WINDOWS, batch_tokens)
        counts = [batches.load(i, "cpu").numel() for i in range(len(batches))]
        return torch.cat([batches.draws(i, seed).uniform(n) for i, n in enumerate(counts)])

    assert torch.equal(all_of(8, 1), all_of(80, 1))
    assert torch.equal(all_of(24, 1), all_of(80, 1))
    assert not torch.equal(all_of(8, 1), all_of(8, 2))
    assert len(set(all_of(8, 1).tolist())) == 80


def test_numbers_of_other_batches_are_others_and_the_same_again() -> None:
    batches = ModuleBatches([torch.zeros(2), torch.zeros(2)])
    first = batches.draws(0, 3).normal((4, 5))
    assert first.shape == (4, 5)
    assert torch.equal(first, batches.draws(0, 3).normal((4, 5)))
    assert not torch.equal(first, batches.draws(1, 3).normal((4, 5)))
    assert not torch.equal(first, batches.draws(0, 4).normal((4, 5)))


@pytest.mark.parametrize(("limit", "count"), [(80, 5), (24, 3), (1, 1)])
def test_windows_are_set_aside_spread_evenly(limit: int, count: int) -> None:
    measured, rest = TokenBatches(WINDOWS, 80).split(limit)
    assert len(measured.windows) == count
    assert np.diff(measured.windows[:, 0]).tolist() == [10 // count * 8] * (count - 1)
    both = np.concatenate([measured.windows, rest.windows])
    assert np.array_equal(np.sort(both, axis=None), WINDOWS.ravel())


def test_one_window_or_batch_is_for_both() -> None:
    measured, rest = TokenBatches(WINDOWS[:1], 80).split(80)
    assert np.array_equal(measured.windows, rest.windows)
    only = ModuleBatches([torch.ones(1)])
    assert only.split(80) == (only, only)


def test_batches_are_learned_from_all_before_any_again() -> None:
    batches = ModuleBatches([torch.tensor([float(i)]) for i in range(5)])
    seen = [float(batch) for batch in islice(batches.shuffled("cpu"), 15)]
    for low in range(0, 15, 5):
        assert sorted(seen[low : low + 5]) == [0, 1, 2, 3, 4]
    assert seen[:5] != [0, 1, 2, 3, 4]
    windows = np.arange(4 * LEARNED_TOKENS // 2).reshape(4, -1)
    parts = list(islice(TokenBatches(windows, 1).shuffled("cpu"), 2))
    assert [tuple(part.shape) for part in parts] == [(2, LEARNED_TOKENS // 2)] * 2
    assert sorted(torch.cat(parts)[:, 0].tolist()) == windows[:, 0].tolist()


def test_batches_of_a_module_are_set_aside_in_turn() -> None:
    batches = ModuleBatches([{"x": torch.tensor([i]), "scale": 2.0} for i in range(5)])
    measured, rest = batches.split(1)
    assert [int(measured.load(i, "cpu")["x"]) for i in range(len(measured))] == [1, 3]
    assert [int(rest.load(i, "cpu")["x"]) for i in range(len(rest))] == [0, 2, 4]
    assert rest.load(0, "cpu")["scale"] == 2.0


def test_the_hash_is_that_of_all_there_is() -> None:
    x = torch.arange(6.0)
    batches: list[list[object]] = [
        [x],
        [x.reshape(2, 3)],
        [x.double()],
        [x + 1],
        [(x, 1.0)],
        [(x, 2.0)],
        [{"x": x}],
        [{"y": x}],
        [x.bfloat16()],
        [x > 2],
    ]
    hashes = [ModuleBatches(one).sha256 for one in batches]
    assert len(set(hashes)) == len(hashes)
    assert ModuleBatches([x.reshape(3, 2).T.contiguous().T.reshape(6)]).sha256 == hashes[0]
    assert ModuleBatches(iter([x])).sha256 == hashes[0]


def test_no_batches_are_refused() -> None:
    with pytest.raises(UsageError, match="no batches to calibrate with"):
        ModuleBatches(iter(()))


def test_outputs_of_whole_windows_have_numbers_of_their_own_too() -> None:
    def all_of(batch_tokens: int, each: int) -> torch.Tensor:
        batches = TokenBatches(WINDOWS, batch_tokens)
        counts = [each * len(batches.load(i, "cpu")) for i in range(len(batches))]
        return torch.cat([batches.draws(i, 0).uniform(n) for i, n in enumerate(counts)])

    assert torch.equal(all_of(8, 1), all_of(31, 1))
    assert len(set(all_of(31, 1).tolist())) == len(WINDOWS)
    assert len(all_of(31, 11)) == 11 * len(WINDOWS)  # more outputs than tokens
