"""Plans score each target once, or say how often, and follow the seeds to the last token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artpack.errors import UsageError
from artpack.evaluation.tokens.documents import by_document, packed
from artpack.evaluation.windows.placements import PLACEMENTS, place
from artpack.evaluation.windows.plan import WindowPlan, share_rows
from artpack.evaluation.windows.sliding import (
    chunked,
    full_context,
    rescored_tail,
    sequential,
    sliding,
)

ONCE = (sliding, full_context, chunked)


@st.composite
def grids(draw: st.DrawFn) -> tuple[int, int, int]:
    """Draw targets, window and a stride that fits it."""
    window = draw(st.integers(1, 12))
    return draw(st.integers(0, 60)), window, draw(st.integers(1, window))


@st.composite
def streams(draw: st.DrawFn) -> np.ndarray:
    """Draw a stream of a few ids, 1 among them."""
    return np.array(draw(st.lists(st.integers(0, 4), min_size=1, max_size=60)), np.uint16)


@given(grids())
def test_every_target_is_scored_once(grid: tuple[int, int, int]) -> None:
    targets, window, stride = grid
    for placement in ONCE:
        plan = placement(targets, window, stride)
        assert (plan.times_scored() == 1).all()
        assert plan.scored_targets().tolist() == list(range(targets))
        coverage = plan.coverage()
        assert (coverage.scored, coverage.repeated, coverage.skipped) == (targets, 0, 0)


@given(grids())
def test_context_is_never_shorter_than_window_minus_stride(grid: tuple[int, int, int]) -> None:
    targets, window, stride = grid
    for placement in (sliding, full_context):
        start, length, first = placement(targets, window, stride).windows[1:].T
        assert (first >= window - stride).all()
        assert (length <= window).all()
        assert (start >= 0).all()


@given(grids())
def test_a_stride_of_one_window_is_sequential(grid: tuple[int, int, int]) -> None:
    targets, window, _ = grid
    expected = [[a, min(window, targets - a), 0] for a in range(0, targets, window)]
    assert sliding(targets, window, window).windows.tolist() == expected
    assert sequential(targets, window).windows.tolist() == expected


@given(streams(), grids())
def test_windows_in_documents_cross_no_bos(ids: np.ndarray, grid: tuple[int, int, int]) -> None:
    _, window, stride = grid
    for placement in ONCE:
        plan = by_document(ids, window, stride, place=placement)
        assert (plan.times_scored() == 1).all()
        for start, length, _ in plan.windows.tolist():
            assert 1 not in ids[start + 1 : start + length]


@given(streams(), st.integers(1, 8), st.integers(1, 4), st.integers(1, 3))
def test_packed_rows_are_cut_at_bos_and_after_a_window(
    ids: np.ndarray, window: int, per_row: int, ranks: int
) -> None:
    plan = packed(ids, window, window * per_row, ranks=ranks)
    sequences = (ids.size - 1) // window
    rows = [
        start
        for rank in range(ranks)
        for start in range(
            sequences * rank // ranks, sequences * (rank + 1) // ranks - per_row + 1, per_row
        )
    ]
    expected: list[list[int]] = []
    for row, first in enumerate(rows):
        begin = first * window
        for i in range(begin, begin + window * per_row):
            if ids[i] == 1 or i == begin or expected[-1][1] == window:
                expected.append([i, 0, row])
            expected[-1][1] += 1
    assert np.column_stack([plan.windows[:, :2], plan.rows]).tolist() == expected
    assert not plan.windows[:, 2].any()


@given(grids())
def test_a_rescored_tail_counts_what_the_seeds_count(grid: tuple[int, int, int]) -> None:
    targets, window, stride = grid
    for shortest in (1, stride):
        plan = rescored_tail(targets, window, stride, shortest=shortest)
        expected: list[list[int]] = []
        for start in range(0, targets, stride):
            length = min(window, targets - start)
            if length >= shortest or start == 0:
                expected.append([start, length, max(length - stride, 0) if start else 0])
        assert plan.windows.tolist() == expected
        times = [sum(a + f <= t < a + n for a, n, f in expected) for t in range(targets)]
        assert plan.times_scored().tolist() == times
        coverage = plan.coverage()
        assert coverage.repeated == sum(max(n - 1, 0) for n in times)
        assert coverage.skipped == times.count(0)


def test_published_pr2086_counts() -> None:
    plan = sliding(37_146_624, 1024, 16)
    assert len(plan.windows) == 2_321_601
    assert (plan.windows[:, 1] == 1024).all()
    scored_at = plan.windows[:, 0] + plan.windows[:, 2]
    assert np.bincount(scored_at // 32768)[[0, 1, 1132]].tolist() == [1985, 2048, 2048]


def test_published_pr576_and_pr1123_counts() -> None:
    pr576 = rescored_tail(62_021_632, 2048, 64).windows
    assert (pr576[:, 1] - pr576[:, 2]).sum() == 62_023_616
    pr1123 = rescored_tail(62_021_632, 1024, 64, shortest=64).windows
    assert len(pr1123) == 969_088
    assert (pr1123[:, 1] - pr1123[:, 2]).sum() == 62_022_592


def test_published_pr826_segments() -> None:
    windows = full_context(62_021_632, 2048, 64).windows
    assert len(windows) == 969_057
    assert (windows[:, 1] - windows[:, 2]).sum() == 62_021_632


def test_published_pr1934_drops_sixty_nine_sequences() -> None:
    # The published size over 64: sequences of 32 tokens, rows of 1024.
    plan = packed(np.zeros(47_851_520 // 64 + 1, np.uint16), 32, 1024, ranks=8)
    assert plan.coverage().scored == 23_296 * 32
    assert plan.coverage().skipped == 69 * 32


def test_published_pr1934_chunk_windows() -> None:
    last = {n: chunked(n, 2048, 48).windows[-1].tolist() for n in (1, 48, 49, 100, 2048, 2049)}
    assert last == {
        1: [0, 1, 0],
        48: [0, 48, 0],
        49: [0, 49, 48],
        100: [0, 100, 96],
        2048: [0, 2048, 2016],
        2049: [1, 2048, 2015],
    }
    assert chunked(5000, 2048, 48).windows[42].tolist() == [16, 2048, 2000]


def test_the_seeds_skip_what_fills_no_window() -> None:
    ids = np.zeros(1001, np.uint16)
    for name in PLACEMENTS:
        coverage = place(name, ids, 16, 4).coverage()
        assert coverage.targets == 1000
        assert coverage.skipped == {"pr1934-packed": 1000}.get(name, 8 if "pr" in name else 0)


def test_short_documents_share_rows_without_overflow() -> None:
    ids = np.array([1, 5, 1, 5, 5, 1, 5, 5, 5, 5, 5, 1, 5], np.uint16)
    plan = by_document(ids, 4, 4)
    assert plan.windows[:, 1].tolist() == [2, 3, 4, 2, 1]
    assert plan.rows.tolist() == [0, 1, 2, 3, 4]
    shared = share_rows(plan)
    assert shared.rows.tolist() == [0, 1, 2, 3, 3]
    assert shared.coverage().rows == 4


@pytest.mark.parametrize("stride", [0, -1, 5])
def test_a_stride_that_does_not_fit_is_refused(stride: int) -> None:
    for placement in (*ONCE, rescored_tail):
        with pytest.raises(UsageError, match=f"stride_tokens is {stride}"):
            placement(10, 4, stride)


def test_a_window_of_nothing_is_refused() -> None:
    for name in PLACEMENTS:
        with pytest.raises(UsageError, match="window_tokens is 0; it must be 1 or more"):
            place(name, np.zeros(9, np.uint16), 0, 0)


def test_an_unknown_placement_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'pr826'"):
        place("pr827", np.zeros(9, np.uint16), 4, 4)


def test_rows_that_are_no_whole_windows_are_refused() -> None:
    with pytest.raises(UsageError, match="no multiple of the window, 4"):
        packed(np.zeros(9, np.uint16), 4, 6)


@pytest.mark.parametrize(
    "window", [[-1, 3, 0], [0, 3, 3], [0, 3, -1], [8, 3, 0], [0, 0, 0], [0, 9, 0]]
)
def test_a_window_that_does_not_fit_is_refused(window: list[int]) -> None:
    with pytest.raises(UsageError, match=r"does not fit 10 targets|longer than its 4 tokens"):
        WindowPlan(10, 4, np.array([window]), np.array([0]))


@pytest.mark.parametrize(
    ("ids", "scored"),
    [
        # Tokens before the first BOS belong to no document, and one target is too few.
        ([7, 7, 1, 5, 6, 1, 1, 5, 5, 5, 5], [2, 3, 4, 6, 7, 8, 9]),
        ([1, 5, 1, 5, 6, 7, 8], [0, 1, 2, 3, 4, 5]),
        ([7, 7, 5, 5, 6], [0, 1, 2, 3]),  # without any BOS all is one document
        ([1, 1, 1, 1], []),
    ],
)
def test_pr826_leaves_out_what_is_no_document(ids: list[int], scored: list[int]) -> None:
    plan = place("pr826-documents", np.array(ids, np.uint16), 1, 1)
    assert plan.scored_targets().tolist() == scored
    assert plan.coverage().skipped == len(ids) - 1 - len(scored)
