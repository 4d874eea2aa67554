"""
The adaptive encoder: first what is known before each symbol, then all of them, backwards.

::

    matrices ─► points ─► classes, tables, codes ─► starts and frequencies ─► words
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from artpack.coding.adaptive.arrangement import Arrangement, lanes_for, put
from artpack.coding.adaptive.frequencies import assign, make_tables
from artpack.coding.adaptive.lanes import encode_lanes
from artpack.coding.adaptive.model import (
    Unsigned,
    Whole,
    find_contexts,
    find_tables,
    learn,
    step_states,
)
from artpack.coding.adaptive.stream import Points, coded_symbols, join_stream
from artpack.coding.adaptive.tables import (
    CENTRE,
    CLASS_TABLE,
    ESCAPE,
    HIGHEST_CLASS,
    LOWERING,
    LOWERING_ROOTS,
    LOWEST_CLASS,
    RAISING,
    RATES,
    SQUARE_BITS,
    TREND_ROWS,
    Integers,
    class_bits,
    class_rows,
    power,
    symbols_until_refined,
)
from artpack.stages.symbols import Symbols
from artpack.system.jit import jit

_ONE = np.float32(1 << 2 * SQUARE_BITS)
_MOST_SHARE = np.float32(1 << 30)
_FIRST_MIDDLE = 2 * LOWEST_CLASS
_MIDDLES: NDArray[np.float64] = np.array(
    [power(16 * 16 + i) for i in range(_FIRST_MIDDLE, 2 * HIGHEST_CLASS + 1)], float
)
"""Energies in units of ``2**-16``, a sixteenth of an octave apart."""


@jit(nogil=True)
def nearest_class(energy: float, guess: int, fineness: int) -> int:
    """Return the class of an energy, a mean in units of ``2**-16``."""
    lowest, highest = LOWEST_CLASS >> 3 - fineness, HIGHEST_CLASS >> 3 - fineness
    nearest = min(max(guess, lowest), highest)
    while nearest < highest and energy >= _middle(nearest, fineness):
        nearest += 1
    while nearest > lowest and energy < _middle(nearest - 1, fineness):
        nearest -= 1
    # Differences to what was expected are codes.
    return min(max(nearest, guess - CENTRE), guess + ESCAPE - 1 - CENTRE)


@jit(nogil=True)
def _middle(lower: int, fineness: int) -> float:
    """Return what lies between a class and the next."""
    return float(_MIDDLES[((2 * lower + 1) << 3 - fineness) - _FIRST_MIDDLE])


@jit(nogil=True)
def _energy(points: NDArray[np.int32], squares: Unsigned) -> float:
    """Return the mean square of the points of some rows, each as a share of its column's."""
    total = np.int64(0)
    for row in range(len(points)):
        own = points[row]
        for col in range(len(squares)):
            point = np.float32(own[col])
            known = np.float32(max(np.int32(squares[col]), np.int32(1)))
            share = min(point * point * _ONE / known, _MOST_SHARE)
            total += np.int64(np.int32(share))
    return total / points.size


@jit(nogil=True)
def find_points(
    matrix: Symbols, centre: int, spacing: int, taps: Whole, points: NDArray[np.int32]
) -> None:
    """Find the points of symbols on the trellis."""
    cols = matrix.shape[1]
    states, parities = np.zeros(cols, np.int32), np.zeros(cols, np.int32)
    offsets = np.zeros(cols, np.int32)
    for row in range(len(matrix)):
        for col in range(cols):
            offsets[col] = np.int32(matrix[row, col]) - np.int32(centre)
            points[row, col] = np.int32(spacing) * offsets[col] + parities[col]
        step_states(states, parities, offsets, taps)


@jit(nogil=True)
def describe_matrix(  # noqa: PLR0917 - numba knows no keywords
    points: NDArray[np.int32],
    spacing: int,
    fineness: int,
    span: int,
    rates: NDArray[np.uint64],
    choose: bool,  # noqa: FBT001
    classes: Symbols,
    offsets: Integers,
    start: int,
    ids: Whole,
    codes: Symbols,
) -> None:
    """
    Find the classes of a matrix's rows, unless they are given, and tables and codes of its symbols.

    Classes come as their differences to what is expected, plus ``CENTRE``. Tables and codes of
    a row are written where the matrix starts in the wide row.
    """
    rows, cols = points.shape
    squares, sums = np.full(cols, 1 << SQUARE_BITS, np.uint32), np.zeros(cols, np.int32)
    contexts, flipped = np.zeros(cols, np.int32), np.zeros(cols, np.int32)
    parities, scratch = np.zeros(cols, np.int32), np.zeros(cols, np.float32)
    raising, lowering = np.zeros(cols, np.uint32), np.zeros(cols, np.uint32)
    roots = np.zeros(cols, np.int32)
    trend = 0
    for row in range(rows):
        if row % TREND_ROWS == 0:
            find_contexts(squares, sums, contexts, flipped, row)
        if row % span == 0:
            expected = trend + 8 >> 4
            if choose:
                energy = _energy(points[row : row + span], squares)
                classes[row // span] = nearest_class(energy, expected, fineness) - expected + CENTRE
            chosen = classes[row // span] + expected - CENTRE
            trend = chosen << 4 if row == 0 else trend + ((chosen << 4) - trend >> 3)
            eighth = (chosen << 3 - fineness) - LOWEST_CLASS
            raising[:], lowering[:] = RAISING[eighth], LOWERING[eighth]
            roots[:] = LOWERING_ROOTS[eighth]
        own = points[row]
        place = offsets[row] + start
        own_codes = codes[place : place + cols]
        for col in range(cols):
            parities[col] = own[col] & np.int32(spacing - 1)
            mirrored = -own[col] if flipped[col] else own[col]
            code = (mirrored >> np.int32(spacing - 1)) + np.int32(CENTRE)
            own_codes[col] = min(code, np.int32(ESCAPE))
        find_tables(squares, raising, contexts, parities, scratch, ids[place : place + cols])
        learn(squares, sums, own, lowering, roots, rates[min(row, len(rates) - 1)])


def encode(
    matrices: Sequence[Symbols],
    arrangement: Arrangement,
    points: Points,
    *,
    prior: int = 1,
    classes: Sequence[Symbols] | None = None,
) -> bytes:
    """
    Code matrices.

    Args:
        matrices: uint8, two-dimensional, below the alphabet.
        arrangement: Of them.
        points: What their symbols stand for.
        prior: Which of ``PRIOR_ROWS``.
        classes: Of the rows of each matrix in the arrangement, as differences to what is
            expected plus ``CENTRE``; those that are nearest, if not given.

    Returns:
        The stream.

    """
    count, centre = arrangement.symbols, points.alphabet // 2
    ids, codes = np.empty(count, np.int32), np.empty(count, np.uint8)
    values, chosen = np.empty(count, np.uint8), []
    for at, m in enumerate(arrangement.order):
        matrix, cols = matrices[m], int(arrangement.cols[at])
        own = np.zeros(arrangement.classes[at], np.uint8) if classes is None else classes[at]
        found = np.empty(matrix.shape, np.int32)
        find_points(matrix, centre, points.spacing, points.taps, found)
        describe_matrix(
            found,
            points.spacing,
            class_bits(cols),
            class_rows(cols),
            RATES[prior],
            classes is None,
            own,
            arrangement.offsets,
            int(arrangement.starts[at]),
            ids,
            codes,
        )
        chosen.append(own)
        put(matrix, arrangement, at, values)
    values += np.uint8(CENTRE - centre)
    total = coded_symbols(arrangement)
    slots, escapes = np.empty(total, np.uint32), np.empty(total, np.uint8)
    pieces = np.empty(arrangement.rows[0] + 2 + total // symbols_until_refined(0), np.int64)
    tables = make_tables(points.alphabet, points.spacing, decoding=False)
    all_classes = np.concatenate(chosen)
    first = len(all_classes)
    class_ids, widths = np.full(first, CLASS_TABLE, np.int32), np.array([first])
    cut, escaped = assign(
        class_ids, all_classes, all_classes, widths, tables, slots[:first], pieces, escapes
    )
    cuts, more = assign(
        ids,
        codes,
        values,
        arrangement.widths,
        tables,
        slots[first:],
        pieces[cut:],
        escapes[escaped:],
    )
    lanes = lanes_for(arrangement, total)
    words = np.zeros(total + lanes, np.uint16)
    start, end, states = encode_lanes(slots, pieces[: cut + cuts], lanes, words)
    return join_stream(prior, escapes[: escaped + more], states.astype(np.uint32), words[start:end])
