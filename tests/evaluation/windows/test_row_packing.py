"""Batches hold what the plan says, row by row."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from artpack.evaluation.tokens.documents import by_document
from artpack.evaluation.windows.plan import WindowPlan, share_rows
from artpack.evaluation.windows.row_packing import batches
from artpack.evaluation.windows.sliding import sliding

IDS = (np.arange(200) * 7 % 50 + 2).astype(np.uint16)
IDS[[0, 3, 17, 18, 90]] = 1


def check(plan: WindowPlan, batch_rows: int) -> None:
    seen = 0
    for batch in batches(IDS, plan, batch_rows=batch_rows, device=torch.device("cpu")):
        flat, targets = batch.ids.flatten().tolist(), batch.targets.tolist()
        scored = iter(zip(batch.positions.tolist(), targets, strict=True))
        row, column, begins = -1, 0, set()
        while seen < len(plan.windows):
            start, length, first = plan.windows[seen].tolist()
            new_row = seen == 0 or plan.rows[seen] != plan.rows[seen - 1] or row < 0
            if new_row and row + 1 == len(batch.ids):
                break
            row, column = (row + 1, 0) if new_row else (row, column)
            at = row * plan.row_tokens + column
            begins |= {at, at + length}
            assert flat[at : at + length] == IDS[start : start + length].tolist()
            for i in range(first, length):
                assert next(scored) == (at + i, IDS[start + i + 1])
            column += length
            seen += 1
        assert next(scored, None) is None
        if batch.documents is not None:
            begins |= {i * plan.row_tokens for i in range(len(batch.ids))}
            found = batch.documents.starts.flatten().nonzero().flatten().tolist()
            assert set(found) == begins - {len(flat)}
    assert seen == len(plan.windows)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_batches_hold_every_window_in_order(window: int, stride: int, batch_rows: int) -> None:
    stride = min(stride, window)
    check(sliding(IDS.size - 1, window, stride), batch_rows)
    check(share_rows(by_document(IDS, window, stride)), batch_rows)


def test_rows_are_padded_with_zeros_on_the_right() -> None:
    plan = sliding(IDS.size - 1, 64, 64)
    last = list(batches(IDS, plan, batch_rows=1, device=torch.device("cpu")))[-1]
    assert last.ids.shape == (1, 64)
    assert last.ids[0, 199 - 3 * 64 :].tolist() == [0] * (64 - 7)
    assert last.documents is None


def test_windows_that_have_their_rows_to_themselves_are_not_packed() -> None:
    plan = sliding(IDS.size - 1, 50, 10)
    every = batches(IDS, plan, batch_rows=4, device=torch.device("cpu"))
    assert all(batch.documents is None for batch in every)
