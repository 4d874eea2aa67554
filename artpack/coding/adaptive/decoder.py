"""The adaptive decoder, compiled: a piece of a wide row at a time."""

import numpy as np
from numpy.typing import NDArray

from artpack.coding.adaptive.frequencies import (
    Tables,
    count_codes,
    make_tables,
    refine_unknown,
    refine_used,
    until_refined,
)
from artpack.coding.adaptive.lanes import FURTHEST, POSITION, decode_lanes, retire
from artpack.coding.adaptive.model import (
    Unsigned,
    Whole,
    find_contexts,
    find_tables,
    learn,
    step_states,
)
from artpack.coding.adaptive.portable import decode_plainly
from artpack.coding.adaptive.stream import Stream, check_end, follow_classes
from artpack.coding.adaptive.tables import (
    CENTRE,
    CLASS_TABLE,
    ESCAPE,
    LOWERING,
    LOWERING_ROOTS,
    RAISING,
    RATES,
    SQUARE_BITS,
    TREND_ROWS,
    Integers,
)
from artpack.errors import CorruptError, TruncatedError
from artpack.stages.symbols import Symbols
from artpack.system.jit import jit, portable

ESCAPES = 4
"""Of a cursor, beside what lanes keep there: how many escapes were read."""


@jit(nogil=True)
def decode_piece(  # noqa: PLR0917 - numba knows no keywords
    ids: Whole,
    flipped: Whole,
    tables: Tables,
    states: Unsigned,
    cursor: Integers,
    words: NDArray[np.uint16],
    escapes: Symbols,
    codes: Symbols,
    offsets: Whole,
) -> bool:
    """
    Decode symbols whose tables are known, and count them.

    ``codes`` is room for as many, ``offsets`` for what they stand for. Return whether all is sound.
    """
    refine_unknown(tables, ids)
    sound = decode_lanes(
        ids, tables.slots.reshape(-1), tables.places.reshape(-1), codes, states, cursor, words
    )
    escaped = False
    for i in range(len(ids)):
        k = np.int32(codes[i]) - np.int32(CENTRE)
        offsets[i] = -k - (ids[i] & np.int32(1)) if flipped[i] else k
        escaped |= codes[i] == ESCAPE
    if escaped:
        sound = read_escapes(ids, flipped, tables, cursor, escapes, codes, offsets) and sound
    count_codes(tables, ids, codes)
    return sound


@jit(nogil=True)
def read_escapes(  # noqa: PLR0917 - numba knows no keywords
    ids: Whole,
    flipped: Whole,
    tables: Tables,
    cursor: Integers,
    escapes: Symbols,
    codes: Symbols,
    offsets: Whole,
) -> bool:
    """Replace escapes by what they stand for; return whether there was no other way to code it."""
    for i in range(len(ids)):
        if codes[i] == ESCAPE:
            if cursor[ESCAPES] == len(escapes):
                return False
            k = np.int32(escapes[cursor[ESCAPES]]) - np.int32(CENTRE)
            cursor[ESCAPES] += 1
            offsets[i] = k
            code = (-k - (ids[i] & 1) if flipped[i] else k) + CENTRE
            codes[i] = min(code, ESCAPE)
            if codes[i] != ESCAPE and tables.slots[ids[i], codes[i]] & 0xFFFF:
                return False
    return True


@jit(nogil=True)
def decode_classes(  # noqa: PLR0917 - numba knows no keywords
    count: int,
    tables: Tables,
    states: Unsigned,
    cursor: Integers,
    words: NDArray[np.uint16],
    escapes: Symbols,
) -> tuple[bool, Whole]:
    """Decode the classes of all rows, as differences; and say whether all is sound."""
    at, sound = 0, True
    ids, level = np.full(count, CLASS_TABLE, np.int32), np.zeros(count, np.int32)
    codes, offsets = np.zeros(count, np.uint8), np.zeros(count, np.int32)
    while at < count and sound:
        end = min(count, at + until_refined(at))
        sound = decode_piece(
            ids[at:end],
            level[at:end],
            tables,
            states,
            cursor,
            words,
            escapes,
            codes[at:end],
            offsets[at:end],
        )
        refine_used(tables)
        at = end
    return sound, offsets


@jit(nogil=True)
def set_classes(  # noqa: PLR0917 - numba knows no keywords
    row: int,
    rows: Integers,
    starts: Integers,
    spans: Integers,
    eighths: Integers,
    raising: Unsigned,
    lowering: Unsigned,
    roots: Whole,
) -> int:
    """Set what follows from the classes of a wide row; return how wide it is."""
    before, width = 0, 0
    for m in range(len(rows)):
        if rows[m] <= row:
            break
        width = starts[m + 1]
        if row % spans[m] == 0:
            eighth = eighths[before + row // spans[m]]
            raising[starts[m] : width] = RAISING[eighth]
            lowering[starts[m] : width] = LOWERING[eighth]
            roots[starts[m] : width] = LOWERING_ROOTS[eighth]
        before += (rows[m] + spans[m] - 1) // spans[m]
    return width


@jit(nogil=True)
def decode_symbols(  # noqa: PLR0917 - numba knows no keywords
    alphabet: int,
    spacing: int,
    taps: Whole,
    rates: NDArray[np.uint64],
    rows: Integers,
    starts: Integers,
    spans: Integers,
    eighths: Integers,
    tables: Tables,
    states: Unsigned,
    cursor: Integers,
    words: NDArray[np.uint16],
    escapes: Symbols,
    symbols: Symbols,
) -> bool:
    """
    Decode the symbols of all matrices, wide row by wide row; return whether all is sound.

    ``eighths`` are the classes of the rows, one matrix after the other.
    """
    cols, centre = starts[-1], np.int32(alphabet // 2)
    squares, sums = np.full(cols, 1 << SQUARE_BITS, np.uint32), np.zeros(cols, np.int32)
    contexts, flipped = np.zeros(cols, np.int32), np.zeros(cols, np.int32)
    nodes, parities = np.zeros(cols, np.int32), np.zeros(cols, np.int32)
    raising, lowering = np.zeros(cols, np.uint32), np.zeros(cols, np.uint32)
    roots, scratch = np.zeros(cols, np.int32), np.zeros(cols, np.float32)
    ids, offsets = np.zeros(cols, np.int32), np.zeros(cols, np.int32)
    points, codes = np.zeros(cols, np.int32), np.zeros(cols, np.uint8)
    at, seen, following = 0, 0, until_refined(0)
    for row in range(rows[0]):
        rate = rates[min(row, len(rates) - 1)]
        width = set_classes(row, rows, starts, spans, eighths, raising, lowering, roots)
        if row % TREND_ROWS == 0:
            find_contexts(squares[:width], sums[:width], contexts[:width], flipped[:width], row)
        a = 0
        while a < width:
            b = min(width, a + following - seen)
            size = b - a
            find_tables(
                squares[a:b], raising[a:b], contexts[a:b], parities[a:b], scratch[:size], ids[:size]
            )
            if not decode_piece(
                ids[:size],
                flipped[a:b],
                tables,
                states,
                cursor,
                words,
                escapes,
                codes[:size],
                offsets[:size],
            ):
                return False
            beyond = False
            for i in range(size):
                symbol = offsets[i] + centre
                beyond |= symbol < 0 or symbol >= alphabet
                symbols[at + i] = symbol
                points[i] = np.int32(spacing) * offsets[i] + parities[a + i]
            if beyond:
                return False
            learn(squares[a:b], sums[a:b], points[:size], lowering[a:b], roots[a:b], rate)
            step_states(nodes[a:b], parities[a:b], offsets[:size], taps)
            at, seen, a = at + size, seen + size, b
            if seen == following:
                refine_used(tables)
                following = seen + until_refined(seen)
    return True


@portable(by=decode_plainly)
def decode(stream: Stream) -> Symbols:
    """
    Decode a stream.

    Args:
        stream: What was taken apart.

    Returns:
        The symbols of all matrices, wide row by wide row.

    Raises:
        TruncatedError: The words end early.
        CorruptError: There is no such stream.

    """
    arrangement, points, lanes = stream.arrangement, stream.points, len(stream.states)
    states, symbols = stream.states.copy(), np.empty(arrangement.symbols, np.uint8)
    cursor = np.array([lanes, stream.total, 2 * lanes, 2 * lanes, 0], np.int64)
    tables = make_tables(points.alphabet, points.spacing, decoding=True)
    coded = tables, states, cursor, stream.words, stream.escapes
    sound, differences = decode_classes(int(arrangement.classes.sum()), *coded)
    _check(stream, cursor, sound=sound)
    sound = decode_symbols(
        points.alphabet,
        points.spacing,
        points.taps,
        RATES[stream.prior],
        arrangement.rows,
        arrangement.starts,
        arrangement.spans,
        follow_classes(differences, arrangement),
        *coded,
        symbols,
    )
    _check(stream, cursor, sound=sound)
    _check(stream, cursor, sound=retire(states, 0, cursor, stream.words))
    check_end(
        stream,
        position=int(cursor[POSITION]),
        furthest=int(cursor[FURTHEST]),
        escapes=int(cursor[ESCAPES]),
    )
    return symbols


def _check(stream: Stream, cursor: Integers, *, sound: bool) -> None:
    if cursor[FURTHEST] > stream.words_end:
        raise TruncatedError("adaptive: the bytes end early")
    if not sound:
        raise CorruptError("adaptive: there are no such symbols")
