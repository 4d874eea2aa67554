"""Files are fitted by the size that they really have, and by the loss that was measured."""

from functools import cache

import pytest
import torch

from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
from artpack.coding.profiles import profile_named
from artpack.errors import BudgetError
from artpack.pack.budget import BYTES_TOLERANCE, LOG2_RANGE, fit_bytes, fit_loss
from artpack.pack.compress import Packed, compress
from artpack.recipes import load_recipe

WEIGHTS = 128 * 256
SLOPE = -WEIGHTS / 8


@cache
def pack(log2_step: float) -> Packed:
    """Pack Gaussian weights in steps of 2**log2_step standard deviations."""
    weight = torch.randn(128, 256, generator=torch.Generator().manual_seed(0))
    override = f"matrices.quantizer.clip.k={127 * 2**log2_step}"
    spec = load_recipe("int6", ["matrices.quantizer.bits=8", override])
    with from_state_dict({"weight": weight}) as checkpoint:
        return compress(checkpoint, select(checkpoint), spec, profile=profile_named("fast"))


def size(log2_step: float) -> int:
    """Tell the size of a file without a file."""
    return pack(log2_step).size_bytes


def loss(packed: Packed) -> float:
    """Stand in for a loss: the squared step that size and theory give."""
    return 4 ** (-8 * packed.size_bytes / WEIGHTS)


@pytest.mark.parametrize("limit", [8_000, 11_111, 16_000])
def test_a_file_is_never_above_its_limit_and_close_to_it(limit: int) -> None:
    fit = fit_bytes(pack, limit_bytes=limit, first=-1.0, slope=SLOPE)
    size = fit.packed.size_bytes
    assert limit * (1 - 10 * BYTES_TOLERANCE) <= size <= limit
    assert fit.chosen.file_bytes == size
    assert fit.chosen in fit.trials
    assert all(trial.loss is None for trial in fit.trials)


def test_drafts_find_where_a_single_file_will_do() -> None:
    made = []

    def count(log2_step: float) -> Packed:
        made.append(log2_step)
        return pack(log2_step)

    fit = fit_bytes(count, limit_bytes=11_111, first=-1.0, slope=SLOPE, draft=size)

    without = fit_bytes(pack, limit_bytes=11_111, first=-1.0, slope=SLOPE)
    assert fit.chosen == without.chosen
    assert [trial.log2_step for trial in fit.trials if trial.draft] == [
        trial.log2_step for trial in without.trials
    ]
    assert fit.trials[-1] == fit.chosen
    assert made == [fit.chosen.log2_step]


def test_a_file_a_little_smaller_than_its_draft_is_not_made_again() -> None:
    made = []

    def count(log2_step: float) -> Packed:
        made.append(log2_step)
        return pack(log2_step)

    def more(log2_step: float) -> int:
        return round(pack(log2_step).size_bytes * (1 + BYTES_TOLERANCE))

    limit = 11_111
    fit = fit_bytes(count, limit_bytes=limit, first=-1.0, slope=SLOPE, draft=more)
    assert len(made) == 1
    assert (1 - 3 * BYTES_TOLERANCE) * limit <= fit.packed.size_bytes <= limit


def test_a_hopeless_limit_says_the_smallest_size_that_would_do() -> None:
    with pytest.raises(BudgetError, match=r"nothing fits into 100 bytes: the smallest file has"):
        fit_bytes(pack, limit_bytes=100, first=-1.0, slope=SLOPE)


def test_the_smallest_size_is_that_of_a_file_and_not_of_a_draft() -> None:
    def larger(log2_step: float) -> Packed:
        return pack(log2_step - 8)

    smallest = larger(-1.0 + LOG2_RANGE).size_bytes
    assert smallest > pack(-1.0 + LOG2_RANGE).size_bytes
    with pytest.raises(BudgetError, match=f"the smallest file has {smallest:,}$"):
        fit_bytes(larger, limit_bytes=100, first=-1.0, slope=SLOPE, draft=size)


def test_where_no_draft_fits_one_file_is_made_at_the_end_of_the_search() -> None:
    made = []

    def count(log2_step: float) -> Packed:
        made.append(log2_step)
        return pack(log2_step)

    with pytest.raises(BudgetError, match="nothing fits"):
        fit_bytes(count, limit_bytes=100, first=-1.0, slope=SLOPE, draft=size)
    assert made == [-1.0 + LOG2_RANGE]


def test_a_loss_is_not_exceeded() -> None:
    fit = fit_loss(pack, loss, limit=0.01, first=-1.0)
    assert fit.chosen.loss is not None
    assert 0.0095 <= fit.chosen.loss <= 0.01
    assert fit.chosen.loss == loss(fit.packed)


def test_a_loss_that_cannot_be_had_is_named() -> None:
    with pytest.raises(BudgetError, match=r"no file loses 0.001 or less: the best loses 0.5"):
        fit_loss(pack, lambda _: 0.5, limit=0.001, first=-1.0)
