"""
Views of stored matrices, recognised by where they lie in memory.

A module may multiply with a slice of a tensor, with its transpose or with a copy in
another dtype: each has a storage, an offset and strides that say which elements of
which stored matrix it shows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, TypeAlias

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

Axis: TypeAlias = Literal["rows", "cols"]


@dataclass(frozen=True)
class Part:
    """
    A rectangle of a stored matrix.

    Attributes:
        name: The stored name.
        shape: Rows and columns of the whole matrix; a kernel's columns are its last axes.
        rows: Which rows it shows.
        cols: Which columns it shows.
    """

    name: str
    shape: tuple[int, int]
    rows: slice
    cols: slice

    def slice_of(self, axis: Axis) -> slice:
        """Return which rows or columns it shows."""
        return self.rows if axis == "rows" else self.cols

    def size(self, axis: Axis) -> int:
        """Return how many rows or columns the whole matrix has."""
        return self.shape[0 if axis == "rows" else 1]

    def share_of(self, axis: Axis) -> float:
        """Return the share of the whole matrix's rows or columns that it shows."""
        shown = self.slice_of(axis)
        return float(shown.stop - shown.start) / self.size(axis)


@dataclass(frozen=True)
class Match:
    """
    A part of a stored matrix in a tensor of two axes, which may show other matrices besides.

    Attributes:
        part: Of the stored matrix.
        rows: Where the part's rows are in the tensor.
        cols: Where its columns are.
        turned: Whether the tensor's first axis runs along the columns.
    """

    part: Part
    rows: slice
    cols: slice
    turned: bool

    def of(self, tensor: Tensor) -> Tensor:
        """Return the part (rows, cols) of a tensor of the same shape."""
        return (tensor.mT if self.turned else tensor)[self.rows, self.cols]


@dataclass(frozen=True)
class _Spot:
    """A rectangle of a stored matrix, and where in a storage it lies."""

    part: Part
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    @cached_property
    def steps(self) -> tuple[int, int] | None:
        """How far apart rows and columns lie; None if columns are not evenly spaced."""
        (rows, *cols), (row, *inner) = self.sizes, self.strides
        step, count = _even_step(cols, inner), math.prod(cols)
        # An axis of one element may have a stride that says nothing: it gets one that leads out.
        if step is not None and count == 1 and step == row:
            step = row * rows
        if step is not None and rows == 1 and row < step * count:
            row = step * count
        return None if step is None else (row, step)

    @property
    def end(self) -> int:
        """Offset of its last element."""
        return _end(self.offset, self.sizes, self.strides)


class StoredViews:
    """
    Everything in memory that shows elements of some stored matrices.

    Args:
        places: Stored name to a view of the live tensor, rows first: (rows, cols), or a
            kernel (rows, ...). Others than floating tensors with two or more axes are
            left out. A tensor may have several names.
    """

    def __init__(self, places: Mapping[str, Tensor]) -> None:
        self._spots: dict[StorageWeakRef, list[_Spot]] = {}
        self._room = 64
        for name, place in places.items():
            if place.ndim > 1 and place.is_floating_point() and place.numel():
                rows = len(place)
                cols = place.numel() // rows
                whole = Part(name, (rows, cols), slice(0, rows), slice(0, cols))
                self._add(place, _spot(whole, place))

    def know(self, tensor: Tensor) -> bool:
        """Return whether a tensor lies where something stored does."""
        return bool(self._near(tensor))

    def matrices(self, tensor: Tensor) -> Iterator[Match]:
        """
        Find what a matrix shows.

        Args:
            tensor: Of two axes.

        Yields:
            Each match. What has one element only is found both ways.

        """
        for spot in self._near(tensor):
            for turned in (False, True):
                match = _match(spot, tensor.mT if turned else tensor, turned=turned)
                if match is not None:
                    yield match

    def kernels(self, tensor: Tensor) -> Iterator[Part]:
        """Yield what a kernel (out, in, ...) shows: whole rows, or nothing."""
        rows, *inner = _axes(tensor)
        for spot in self._near(tensor):
            whole, *stored = zip(spot.sizes, spot.strides, strict=True)
            if [axis for axis in inner if axis[0] > 1] != [axis for axis in stored if axis[0] > 1]:
                continue
            first, rest = divmod(_offset(tensor) - spot.offset, max(1, whole[1]))
            evenly = not rest and (rows[0] == 1 or rows[1] == whole[1])
            if evenly and 0 <= first <= whole[0] - rows[0]:
                yield _cut(spot.part, first, rows[0], 0, spot.part.cols.stop)

    def follow(self, source: Tensor, copy: Tensor) -> None:
        """
        Remember that a tensor is a copy, element by element, of what another one shows.

        Args:
            source: Any tensor.
            copy: Of the same shape, in a storage of its own.

        """
        near = self._near(source)
        if not near:
            return
        if source.stride() == copy.stride():
            moved = _offset(copy) - _offset(source)
            first, last = _offset(source), _end_of(source)
            whole = [spot for spot in near if first <= spot.offset and spot.end <= last]
            for spot in whole:
                self._add(copy, _Spot(spot.part, spot.offset + moved, spot.sizes, spot.strides))
            if whole:
                return
        self._follow_matrices(source, copy)

    def _follow_matrices(self, source: Tensor, copy: Tensor) -> None:
        if source.ndim == 2:
            for match in self.matrices(source):
                self._add(copy, _spot(match.part, match.of(copy)))
        elif source.ndim == 3:
            for one, its_copy in zip(source, copy, strict=True):
                self._follow_matrices(one, its_copy)

    def _near(self, tensor: Tensor) -> list[_Spot]:
        try:
            storage = tensor.untyped_storage()
        except NotImplementedError:  # a sparse tensor has none
            return []
        return self._spots.get(StorageWeakRef(storage), [])  # type: ignore[no-untyped-call]

    def _add(self, tensor: Tensor, spot: _Spot) -> None:
        if len(self._spots) > self._room:
            self._forget_the_dead()
        reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        self._spots.setdefault(reference, []).append(spot)

    def _forget_the_dead(self) -> None:
        for reference in list(self._spots):
            if reference.expired():  # type: ignore[no-untyped-call]
                del self._spots[reference]
        self._room = 64 + 2 * len(self._spots)


def _spot(part: Part, tensor: Tensor) -> _Spot:
    return _Spot(part, _offset(tensor), tuple(tensor.shape), tensor.stride())


def _match(spot: _Spot, tensor: Tensor, *, turned: bool) -> Match | None:
    """Return what a matrix (rows, cols) shows of a spot; None if nothing."""
    steps = spot.steps
    if steps is None or not _stepped(tensor, steps):
        return None
    distance = _offset(tensor) - spot.offset
    (row, col), rest = _position(abs(distance), steps)
    sign = 1 if distance > 0 else -1
    shown = spot.part
    rows = _common(sign * row, len(tensor), shown.rows)
    cols = _common(sign * col, tensor.shape[1], shown.cols)
    if rest or rows is None or cols is None:
        return None
    return Match(Part(shown.name, shown.shape, rows[0], cols[0]), rows[1], cols[1], turned)


def _common(first: int, count: int, shown: slice) -> tuple[slice, slice] | None:
    """
    Return what a tensor and a spot have in common along an axis; None if nothing.

    Args:
        first: Where the tensor begins, from where the spot does.
        count: Size of the tensor.
        shown: What the spot shows of the whole.

    Returns:
        The common part in the whole, and in the tensor.

    """
    start, stop = max(first, 0), min(first + count, shown.stop - shown.start)
    if start >= stop:
        return None
    whole = slice(shown.start + start, shown.start + stop)
    return whole, slice(start - first, stop - first)


def _stepped(tensor: Tensor, steps: tuple[int, int]) -> bool:
    """Return whether a matrix has these strides; an axis of one element has any."""
    return all(
        size == 1 or (size > 1 and stride == step)
        for size, stride, step in zip(tensor.shape, tensor.stride(), steps, strict=True)
    )


def _position(distance: int, steps: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """Return the row and the column at a distance, and what is left of it."""
    if steps[0] >= steps[1]:
        row, rest = divmod(distance, steps[0])
        col, rest = divmod(rest, steps[1])
    else:
        col, rest = divmod(distance, steps[1])
        row, rest = divmod(rest, steps[0])
    return (row, col), rest


def _offset(tensor: Tensor) -> int:
    return int(tensor.storage_offset())


def _cut(part: Part, row: int, rows: int, col: int, cols: int) -> Part:
    row, col = row + part.rows.start, col + part.cols.start
    return Part(part.name, part.shape, slice(row, row + rows), slice(col, col + cols))


def _axes(tensor: Tensor) -> list[tuple[int, int]]:
    return list(zip(tensor.shape, tensor.stride(), strict=True))


def _even_step(sizes: Sequence[int], strides: Sequence[int]) -> int | None:
    """Return the step between consecutive elements in C order; None if it varies."""
    axes = [axis for axis in zip(sizes, strides, strict=True) if axis[0] > 1]
    if any(outer[1] != inner[0] * inner[1] for outer, inner in pairwise(axes)):
        return None
    return axes[-1][1] if axes else strides[-1]


def _end(offset: int, sizes: tuple[int, ...], strides: tuple[int, ...]) -> int:
    axes = zip(sizes, strides, strict=True)
    return offset + sum((size - 1) * stride for size, stride in axes)


def _end_of(tensor: Tensor) -> int:
    return _end(_offset(tensor), tuple(tensor.shape), tensor.stride())
