"""Views of stored matrices are recognised, and nothing else is."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from artpack.calibration.views import Part, StoredViews


def whole(tensor: Tensor) -> Part:
    rows, cols = tensor.shape
    return Part("w", (rows, cols), slice(0, rows), slice(0, cols))


def names(views: StoredViews, tensor: Tensor) -> list[tuple[str, bool]]:
    return [(match.part.name, match.turned) for match in views.matrices(tensor)]


@given(st.data())
def test_any_rectangle_of_any_layout(data: st.DataObject) -> None:
    rows, cols = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    before = data.draw(st.integers(0, 3))
    memory = torch.zeros(before + rows * cols + 3)[before:][: rows * cols]
    stored = memory.view(cols, rows).T if data.draw(st.booleans()) else memory.view(rows, cols)
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    stop, end = data.draw(st.integers(row + 1, rows)), data.draw(st.integers(col + 1, cols))
    shown = stored[row:stop, col:end]
    expected = Part("w", (rows, cols), slice(row, stop), slice(col, end))
    views = StoredViews({"w": stored})
    for turned, tensor in enumerate((shown, shown.T)):
        found = list(views.matrices(tensor))
        assert turned in [match.turned for match in found]
        assert all(match.part == expected for match in found)
        assert all(match.of(tensor).shape == shown.shape for match in found)


@given(st.data())
def test_what_a_larger_tensor_shows_besides(data: st.DataObject) -> None:
    rows, cols = data.draw(st.integers(2, 6)), data.draw(st.integers(2, 6))
    fused = torch.arange(rows * cols).float().view(rows, cols)
    first, end = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(1, cols))
    stored = fused[first:, :end]
    (match,) = StoredViews({"w": stored}).matrices(fused)
    assert match.part == whole(stored)
    assert torch.equal(match.of(fused), stored)


@pytest.mark.parametrize(
    "other",
    [
        lambda w: w[::2],
        lambda w: w[:, ::2],
        lambda w: w.view(4, 6),
        lambda w: w[:1].expand(6, 4),
        lambda w: w + 0,
        lambda w: w.new_zeros(6, 4),
        lambda w: w.to_sparse(),
    ],
)
def test_what_is_no_rectangle(other: object) -> None:
    stored = torch.zeros(6, 4)
    assert callable(other)
    assert not list(StoredViews({"w": stored}).matrices(other(stored)))


def test_neighbours_in_one_memory_are_told_apart() -> None:
    memory = torch.zeros(3, 4, 5)
    views = StoredViews({str(i): one for i, one in enumerate(memory)})
    for i, one in enumerate(memory):
        assert names(views, one.mT) == [(str(i), True)]


@pytest.mark.parametrize("change", ["bfloat16", "double", "clone"])
def test_copies_are_followed(change: str) -> None:
    stack = torch.zeros(3, 4, 5)
    views = StoredViews({str(i): one for i, one in enumerate(stack)})
    copy = getattr(stack, change)()
    views.follow(stack, copy)
    assert names(views, copy[1]) == [("1", False)]


def test_a_copy_in_another_order_is_followed() -> None:
    stack = torch.zeros(3, 4, 5)
    views = StoredViews({str(i): one for i, one in enumerate(stack)})
    turned = stack.mT
    copy = turned.contiguous()
    views.follow(turned, copy)
    assert names(views, copy[2]) == [("2", True)]


def test_a_copy_of_some_rows_is_followed() -> None:
    stored = torch.zeros(6, 4)
    views, copy = StoredViews({"w": stored}), stored[2:5].double()
    views.follow(stored[2:5], copy)
    found = Part("w", (6, 4), slice(3, 5), slice(0, 4))
    assert [match.part for match in views.matrices(copy[1:])] == [found]


def test_memory_that_is_used_again_is_nobodys() -> None:
    stored = torch.zeros(64, 64)
    views = StoredViews({"w": stored})
    for _ in range(200):  # the allocator soon gives the same address
        copy = stored.clone()
        views.follow(stored, copy)
        del copy
        assert not views.know(torch.zeros(64, 64))
    assert views.know(stored)


def test_vectors_and_integers_are_left_out() -> None:
    places = {"bias": torch.zeros(3), "ids": torch.zeros(3, 3, dtype=torch.int64)}
    views = StoredViews({**places, "empty": torch.zeros(0, 3)})
    assert not any(views.know(place) for place in places.values())
