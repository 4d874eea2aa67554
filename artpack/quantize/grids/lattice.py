"""
Weights as points of a lattice: whole numbers times a scale of the row times one of the column.

Along each column runs a trellis (:mod:`artpack.stages.trellis`) that says which of two
interleaved grids each point lies on. Scales are whole steps on a logarithmic axis, and
the scale of a weight is the sum of three such numbers, so it is one entry of one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from artpack.errors import CorruptError, UsageError
from artpack.quantize.grids.checked_grid import CheckedGrid, Weights
from artpack.quantize.matrix_view import finite_matrix, matrix_shape
from artpack.quantize.parts import byte_planes, join_planes, split_bytes
from artpack.quantize.trellis.viterbi import search_columns
from artpack.stages.symbols import PartSpec, Quantized, Symbols
from artpack.stages.trellis import spacing, trellis
from artpack.system.jit import jit, portable
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

Integers = NDArray[np.int32]

MAX_RESOLUTION = 64
MAX_SPAN = 255
"""Steps that the scales of rows, or of columns, may lie apart: an offset is one byte."""

MAX_RADIUS = (1 << 13) - 1
"""Points of such codes are int16."""

DIGIT = 256
"""Codes beyond one byte have a high digit, which is 0 for nearly all of them."""

MAX_OCTAVES = 100
"""Scales lie between ``2**-100`` and ``2**100``, so that every weight is a normal fp32."""


@dataclass(frozen=True)
class Lattice(CheckedGrid):
    """
    Each weight as a point of its column's trellis times the scales of its row and column.

    Attributes:
        states: States of the trellis: 1, the plain grid, or 4, 8, ..., 256.
        radius: The outermost code, 1 to 8191; points go to about twice that on a trellis.
            Beyond 127 a code is two symbols.
        resolution: Steps of the scales in a doubling, 1 to 64.
    """

    stage_id: ClassVar[str] = "lattice"
    states: int
    radius: int
    resolution: int = 8

    def __post_init__(self) -> None:
        trellis(self.states)
        if not 1 <= self.radius <= MAX_RADIUS:
            raise UsageError(f"lattice: radius must be 1 to {MAX_RADIUS}, got {self.radius}")
        if not 1 <= self.resolution <= MAX_RESOLUTION:
            raise UsageError(
                f"lattice: resolution must be 1 to {MAX_RESOLUTION}, got {self.resolution}"
            )

    @property
    def label(self) -> str:
        """``lattice`` on the plain grid, else the trellis: ``lattice/8``."""
        return "lattice" if self.states == 1 else f"lattice/{self.states}"

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return ``codes``, the scales of rows and columns, and the planes of their anchor."""
        rows, cols = matrix_shape(shape)
        return (
            PartSpec("codes", rows, cols, min(2 * self.radius + 1, DIGIT), self.states),
            *([PartSpec("high", rows, cols, 2 * self._digits + 1)] if self._digits else ()),
            PartSpec("row_scales", rows, 1, MAX_SPAN + 1),
            PartSpec("col_scales", cols, 1, MAX_SPAN + 1),
            *byte_planes("anchor", 1, "int16"),
        )

    @property
    def _digits(self) -> int:
        """The largest high digit; 0 if codes have none."""
        return (self.radius + DIGIT // 2) // DIGIT if self.radius >= DIGIT // 2 else 0

    def _split(self, codes: Integers) -> dict[str, Symbols]:
        """Write codes as symbols: the low digit lies around 0, so the high one is mostly 0."""
        if not self._digits:
            return {"codes": (codes + self.radius).astype(np.uint8)}
        high, low = np.divmod(codes + DIGIT // 2, DIGIT)
        return {"codes": low.astype(np.uint8), "high": (high + self._digits).astype(np.uint8)}

    def _join(self, parts: Mapping[str, Symbols]) -> Integers:
        """Undo :meth:`_split`."""
        codes = parts["codes"].astype(np.int32)
        if not self._digits:
            return codes - self.radius
        high = parts["high"].astype(np.int32) - self._digits
        codes += DIGIT * high - DIGIT // 2
        if np.abs(codes).max(initial=0) > self.radius:
            raise CorruptError(f"a code is {np.abs(codes).max()}, beyond {self.radius}")
        return codes

    def quantize(self, weight: Tensor) -> Quantized:
        """
        Take the nearest points on the finest lattice of one scale that reaches every weight.

        Args:
            weight: Floating point, any shape, finite.

        Returns:
            The parts. On a trellis the points of a column are chosen together, so that
            their squared error is least; one by one they need not be the nearest.

        Raises:
            UsageError: A weight is not finite, or too large.

        """
        matrix = finite_matrix(weight).numpy()
        widest = float(np.abs(matrix).max(initial=0.0))
        step = np.float64(widest or 1.0) / (spacing(self.states) * self.radius)
        exponent = int(np.ceil(np.log2(step) * self.resolution))
        if exponent > MAX_OCTAVES * self.resolution:
            raise UsageError(f"a weight of {widest:g} is too large for a lattice: store it as raw")
        exponent = max(exponent, -MAX_OCTAVES * self.resolution)
        targets = matrix / self.table(exponent, 1)[0]
        points = search_columns(targets, self.states, self.radius)
        rows, cols = (np.zeros(size, np.int32) for size in matrix.shape)
        return self.pack(tuple(weight.shape), points, rows + exponent, cols)

    def pack(
        self, shape: tuple[int, ...], points: Integers, rows: Integers, cols: Integers
    ) -> Quantized:
        """
        Put points and scales into parts.

        Args:
            shape: Of the weight tensor.
            points: int32, shape ``matrix_shape(shape)``; on the trellis in every column.
            rows: int32, one a row: its scale is 2 to the power of this over the resolution.
            cols: Likewise, one a column.

        Returns:
            The parts.

        Raises:
            UsageError: A point is beyond the radius, or the scales of rows or columns
                span more than 255 steps.

        """
        codes = to_codes(points, self.states)
        if np.abs(codes).max(initial=0) > self.radius:
            raise UsageError(f"lattice: a code is {np.abs(codes).max()}, beyond {self.radius}")
        (low_row, row_scales), (low_col, col_scales) = _offsets(rows), _offsets(cols)
        return Quantized(
            shape,
            {
                **self._split(codes),
                "row_scales": row_scales,
                "col_scales": col_scales,
                **split_bytes("anchor", torch.tensor([low_row + low_col], dtype=torch.int16)),
            },
        )

    def unpack(self, quantized: Quantized) -> tuple[Integers, Integers, Integers]:
        """
        Undo :meth:`pack`.

        Args:
            quantized: What it returns.

        Returns:
            Points, exponents of the rows, and those of the columns, of which the least is
            0 now.

        >>> lattice = Lattice(1, 3)
        >>> given = np.array([[1, -3]]), np.array([-8]), np.array([2, 1])
        >>> packed = lattice.pack((1, 2), *(part.astype(np.int32) for part in given))
        >>> [part.tolist() for part in lattice.unpack(packed)]
        [[[1, -3]], [-7], [1, 0]]

        """
        parts = quantized.parts
        points = to_points(self._join(parts), self.states)
        rows, cols = (parts[name].ravel().astype(np.int32) for name in ("row_scales", "col_scales"))
        return points, rows + _read_anchor(parts), cols

    def _weights(self, parts: Mapping[str, Symbols], shape: tuple[int, int]) -> Weights:
        """Return point times scale, rounded once to fp32."""
        anchor = _read_anchor(parts)
        offsets = [parts[name].ravel().astype(np.int32) for name in ("row_scales", "col_scales")]
        span = sum(int(offset.max(initial=0)) for offset in offsets) + 1
        lowest, highest = anchor, anchor + span - 1
        if max(-lowest, highest) > MAX_OCTAVES * self.resolution:
            raise CorruptError(f"scales from {lowest} to {highest} steps are out of range")
        codes = self._join(parts)
        result = np.empty(shape, np.float32)
        _weigh(
            codes,
            trellis(self.states),
            offsets[0],
            offsets[1],
            self.table(anchor, span),
            result,
        )
        return result

    def table(self, lowest: int, count: int) -> NDArray[np.float32]:
        """
        Return consecutive scales.

        Args:
            lowest: Exponent of the first, in steps: within 100 doublings of 0.
            count: How many.

        Returns:
            fp32, shape ``(count,)``: 2 to the power of exponent over resolution.

        >>> Lattice(8, 31, 2).table(-1, 4).tolist()
        [0.7071067690849304, 1.0, 1.4142135381698608, 2.0]

        """
        exponents, steps = np.divmod(np.arange(lowest, lowest + count), self.resolution)
        mantissas = np.exp2(np.arange(self.resolution) / self.resolution).astype(np.float32)
        return np.ldexp(mantissas[steps], exponents.astype(np.int32))


def _read_anchor(parts: Mapping[str, Symbols]) -> int:
    return int(join_planes("anchor", parts, "int16").view("<i2")[0, 0])


def _offsets(exponents: Integers) -> tuple[int, Symbols]:
    """Return the least of some exponents, and how far each lies above it."""
    low = int(exponents.min()) if exponents.size else 0
    offsets = exponents - low
    if offsets.max(initial=0) > MAX_SPAN:
        raise UsageError(f"lattice: scales span {offsets.max()} steps, more than {MAX_SPAN}")
    return low, offsets.astype(np.uint8).reshape(-1, 1)


def to_codes(points: Integers, states: int) -> Integers:
    """
    Write the points of each column as steps through its trellis.

    Args:
        points: int32, shape ``(rows, cols)``.
        states: Of the trellis.

    Returns:
        int32, the same shape: ``(point - parity) / spacing``.

    Raises:
        UsageError: A point has not the parity of its state.

    >>> to_codes(np.array([[4], [6], [-3]], np.int32), 4).ravel().tolist()
    [2, 3, -2]

    """
    if states == 1:
        return points
    codes, fits = _walk_back(np.ascontiguousarray(points), trellis(states))
    if not fits:
        raise UsageError("lattice: a point is not on its trellis")
    return codes


@jit(nogil=True)
def _walk_back(points: Integers, table: Integers) -> tuple[Integers, bool]:
    """Undo :func:`_walk`, and say whether every point was on the trellis."""
    rows, cols = points.shape
    codes = np.empty((rows, cols), np.int32)
    states = np.zeros(cols, np.int32)
    fits = True
    for row in range(rows):
        for col in range(cols):
            point, state = points[row, col], states[col]
            parity = table[state, 0]
            fits &= (point ^ parity) & 1 == 0
            code = (point - parity) >> 1
            codes[row, col] = code
            states[col] = table[state, 1 + (code & 1)]
    return codes, fits


def to_points(codes: Integers, states: int) -> Integers:
    """
    Undo :func:`to_codes`.

    Args:
        codes: int32, shape ``(rows, cols)``, any values.
        states: Of the trellis.

    Returns:
        int32, the same shape: the points.

    >>> to_points(np.array([[2], [3], [-2]], np.int32), 4).ravel().tolist()
    [4, 6, -3]

    """
    if states == 1:
        return codes
    return _walk(np.ascontiguousarray(codes), trellis(states))


@jit(nogil=True)
def _walk(codes: Integers, table: Integers) -> Integers:
    """Go through the trellis in every column, row by row."""
    rows, cols = codes.shape
    points = np.empty((rows, cols), np.int32)
    states = np.zeros(cols, np.int32)
    for row in range(rows):
        for col in range(cols):
            code, state = codes[row, col], states[col]
            points[row, col] = 2 * code + table[state, 0]
            states[col] = table[state, 1 + (code & 1)]
    return points


def _weigh_rows(  # noqa: PLR0917 - as the compiled one
    codes: Integers,
    successors: Integers,
    row_offsets: Integers,
    col_offsets: Integers,
    table: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    """Do what :func:`_weigh` does, a row at a time."""
    states = np.zeros(codes.shape[1], np.int32)
    distance = 1 if len(successors) == 1 else 2
    for row, offset in enumerate(row_offsets.tolist()):
        points = distance * codes[row] + successors[states, 0]
        states = successors[states, 1 + (codes[row] & 1)]
        result[row] = points.astype(np.float32) * table[offset + col_offsets]


@portable(by=_weigh_rows)
@jit(nogil=True)
def _weigh(  # noqa: PLR0917 - numba knows no keywords
    codes: Integers,
    successors: Integers,
    row_offsets: Integers,
    col_offsets: Integers,
    table: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    """Go through the trellis in every column, row by row, and multiply points by their scales."""
    states = np.zeros(codes.shape[1], np.uint8)
    distance = np.int32(1 if len(successors) == 1 else 2)
    for row in range(codes.shape[0]):
        scales = table[row_offsets[row] :]
        for col in range(codes.shape[1]):
            code, state = codes[row, col], states[col]
            point = distance * code + successors[state, 0]
            states[col] = successors[state, 1 + (code & 1)]
            result[row, col] = np.float32(point) * scales[col_offsets[col]]
