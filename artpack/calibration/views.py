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

    def matrices(self, tensor: Tensor) -> Iterator[tuple[Part, bool]]:
        """
        Find what a matrix shows.

        Args:
            tensor: Of two axes.

        Yields:
            The part, and whether the tensor's first axis runs along its columns. What has
            one element only is found both ways.

        """
        for spot in self._near(tensor):
            for turned in (False, True):
                part = _part_of(spot, tensor.mT if turned else tensor)
                if part is not None:
                    yield part, turned

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
            for part, turned in self.matrices(source):
                self._add(copy, _spot(part, copy.mT if turned else copy))
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


def _part_of(spot: _Spot, tensor: Tensor) -> Part | None:
    """Return what a matrix (rows, cols) shows of a spot; None if not a rectangle of it."""
    steps, (rows, cols) = spot.steps, tensor.shape
    if steps is None or not _stepped(tensor, steps):
        return None
    (row, col), rest = _position(_offset(tensor) - spot.offset, steps)
    shown = spot.part
    if rest or not 0 <= row <= shown.rows.stop - shown.rows.start - rows:
        return None
    if not 0 <= col <= shown.cols.stop - shown.cols.start - cols:
        return None
    return _cut(shown, row, rows, col, cols)


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
