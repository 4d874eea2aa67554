"""
Views of stored matrices, recognised by where they lie in memory.

A module may multiply with a slice of a tensor, with its transpose or with a copy in
another dtype: each has a storage, an offset and strides that say which elements of
which stored matrix it shows.
"""

import math
from collections.abc import Iterator, Mapping
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
class Sight:
    """
    A part of a stored matrix as a matrix in memory shows it.

    Attributes:
        part: What is shown.
        turned: Whether the first axis runs along the part's columns.
        first: Which places of the first axis show it: a fused matrix shows several parts.
        second: Which places of the second axis do.
    """

    part: Part
    turned: bool
    first: slice
    second: slice


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
        rows, cols = self.sizes[0], self.sizes[1:]
        step = _even_step(cols, self.strides[1:])
        if step is None:
            return None
        count = math.prod(cols)
        # An axis of one element may have any stride: it gets one that leads outside.
        if rows == 1:
            return step * count, step
        return (self.strides[0], step) if count > 1 else (self.strides[0], self.strides[0] * rows)

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

    def matrices(self, tensor: Tensor) -> Iterator[Sight]:
        """
        Find what a matrix shows.

        Args:
            tensor: Of two axes.

        Yields:
            The part of a stored matrix that it is, or each stored matrix that is a part of
            it. What has one element only is found both ways.

        """
        for spot in self._near(tensor):
            for turned in (False, True):
                found = _sight(spot, tensor.mT if turned else tensor)
                if found is not None:
                    part, (rows, cols) = found
                    yield Sight(part, turned, *((cols, rows) if turned else (rows, cols)))

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
            for sight in self.matrices(source):
                shown = copy[sight.first, sight.second]
                self._add(copy, _spot(sight.part, shown.mT if sight.turned else shown))
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


def _sight(spot: _Spot, tensor: Tensor) -> tuple[Part, tuple[slice, slice]] | None:
    """Return what a matrix (rows, cols) shows of a spot, and where; None if no rectangle."""
    if spot.steps is None:
        return None
    part, shape = spot.part, (tensor.shape[0], tensor.shape[1])
    stored = _Rectangle(spot.offset, (_length(part.rows), _length(part.cols)), spot.steps)
    shown = _Rectangle(_offset(tensor), shape, (tensor.stride(0), tensor.stride(1)))
    start = stored.start_of(shown)
    if start is not None:
        return _cut(part, start[0], shape[0], start[1], shape[1]), (slice(None), slice(None))
    start = shown.apart().start_of(stored)
    if start is None:
        return None
    (row, col), (rows, cols) = start, stored.sizes
    return part, (slice(row, row + rows), slice(col, col + cols))


@dataclass(frozen=True)
class _Rectangle:
    """Elements in a storage, (rows, cols), and how far apart rows and columns lie."""

    offset: int
    sizes: tuple[int, int]
    steps: tuple[int, int]

    def apart(self) -> "_Rectangle":
        """Return the same, where an axis of one element has a step that leads outside."""
        (rows, cols), (down, right) = self.sizes, self.steps
        if rows == 1:
            down = right * cols
        elif cols == 1:
            right = down * rows
        return _Rectangle(self.offset, self.sizes, (down, right))

    def start_of(self, other: "_Rectangle") -> tuple[int, int] | None:
        """Return at which row and column another one begins; None if it is not all inside."""
        axes = list(zip(other.sizes, other.steps, self.steps, strict=True))
        if any(size == 0 or (size > 1 and step != own) for size, step, own in axes):
            return None
        if min(self.steps) < 1:  # expanded
            return None
        start, rest = _position(other.offset - self.offset, self.steps)
        ends = zip(start, other.sizes, self.sizes, strict=True)
        inside = all(0 <= at <= whole - size for at, size, whole in ends)
        return start if inside and not rest else None


def _length(part: slice) -> int:
    return int(part.stop - part.start)


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


def _even_step(sizes: tuple[int, ...], strides: tuple[int, ...]) -> int | None:
    """Return the step between consecutive elements in C order; None if it varies."""
    axes = [axis for axis in zip(sizes, strides, strict=True) if axis[0] > 1]
    if any(outer[1] != inner[0] * inner[1] for outer, inner in pairwise(axes)):
        return None
    return axes[-1][1] if axes else 1


def _end(offset: int, sizes: tuple[int, ...], strides: tuple[int, ...]) -> int:
    axes = zip(sizes, strides, strict=True)
    return offset + sum((size - 1) * stride for size, stride in axes)


def _end_of(tensor: Tensor) -> int:
    return _end(_offset(tensor), tuple(tensor.shape), tensor.stride())
