"""Frequencies of codes, refined from what was seen."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artpack.coding.adaptive.tables import (
    BUCKETS,
    CLASS_TABLE,
    CODES,
    COUNT,
    ESCAPE,
    ESCAPE_WEIGHT,
    PLACE_BITS,
    TABLES,
    TOTAL,
    WEIGHT_BITS,
    Integers,
    masked_priors,
    symbols_until_refined,
)
from artpack.stages.symbols import Symbols
from artpack.system.jit import jit

_CODE_BITS = np.uint32(8)
_UP = (1 << PLACE_BITS) - 1


until_refined = jit(nogil=True)(symbols_until_refined)


class Tables(NamedTuple):
    """
    How often codes occur.

    Attributes:
        priors: What is expected.
        counts: What was seen.
        fresh: 1 if symbols were seen since a table was refined, -1 where there is none yet.
        seen: How many symbols a table had seen when it was refined.
        slots: Start and frequency of each code, 16 bits each; of the escape as well.
        places: The code of each place of which the last bits are 0, if they are for decoding.
    """

    priors: Integers
    counts: NDArray[np.uint32]
    fresh: NDArray[np.int8]
    seen: Integers
    slots: NDArray[np.uint32]
    places: Symbols


def make_tables(alphabet: int, spacing: int, *, decoding: bool) -> Tables:
    """Return tables of which none was used."""
    return Tables(
        masked_priors(alphabet, spacing),
        np.zeros((TABLES, CODES), np.uint32),
        np.full(TABLES, -1, np.int8),
        np.zeros(TABLES, np.int64),
        np.zeros((TABLES, CODES), np.uint32),
        np.empty((TABLES if decoding else 0, TOTAL >> PLACE_BITS), np.uint8),
    )


@jit(nogil=True)
def refine(tables: Tables, table: int) -> None:
    """Make frequencies of what is expected and what was seen."""
    tables.fresh[table] = 0
    expected = tables.priors[2 * BUCKETS if table == CLASS_TABLE else table % (2 * BUCKETS)]
    counts, slots = tables.counts[table], tables.slots[table]
    sums = np.empty(CODES, np.int64)
    for code in range(CODES):
        sums[code] = expected[code] + np.int64(counts[code]) * COUNT
    sums[ESCAPE] = ESCAPE_WEIGHT
    total = 0
    for code in range(CODES):
        total += sums[code]
        sums[code] = total
    unit = ((TOTAL - 1) << WEIGHT_BITS) // total
    for code in range(ESCAPE):
        sums[code] = sums[code] * unit >> WEIGHT_BITS
    sums[ESCAPE] = TOTAL
    start = 0
    for code in range(CODES):
        slots[code] = start << 16 | (sums[code] - start)
        start = sums[code]
    if len(tables.places):
        own, first = tables.places[table], 0
        for code in range(CODES):
            last = sums[code] + _UP >> PLACE_BITS
            while first < last:
                own[first] = code
                first += 1


@jit(nogil=True)
def refine_used(tables: Tables) -> None:
    """Refine the tables of which something was seen."""
    for table in range(TABLES):
        if tables.fresh[table] > 0:
            seen = tables.counts[table].sum()
            if 16 * (seen - tables.seen[table]) >= seen + 128:
                tables.seen[table] = seen
                refine(tables, table)


@jit(nogil=True)
def refine_unknown(tables: Tables, ids: NDArray[np.int32]) -> None:
    """Make the tables that there are not yet."""
    unknown = False
    for table in ids:
        unknown |= tables.fresh[np.uint32(table)] < 0
    if unknown:
        for table in ids:
            if tables.fresh[table] < 0:
                refine(tables, table)


@jit(nogil=True)
def count_codes(tables: Tables, ids: NDArray[np.int32], codes: Symbols) -> None:
    """Learn how often codes occur."""
    counts = tables.counts.reshape(-1)
    for i in range(len(ids)):
        counts[(np.uint32(ids[i]) << _CODE_BITS) + np.uint32(codes[i])] += np.uint32(1)
        tables.fresh[np.uint32(ids[i])] = 1


@jit(nogil=True)
def find_slots(
    tables: Tables, ids: NDArray[np.int32], codes: Symbols, slots: NDArray[np.uint32]
) -> bool:
    """Find start and frequency of each code; return whether one has none, or is an escape."""
    missing, known = False, tables.slots.reshape(-1)
    for i in range(len(ids)):
        slot = known[(np.uint32(ids[i]) << _CODE_BITS) + np.uint32(codes[i])]
        slots[i] = slot
        missing |= (slot & np.uint32(0xFFFF) == 0) | (codes[i] == ESCAPE)
    return missing


@jit(nogil=True)
def assign(  # noqa: PLR0917 - numba knows no keywords
    ids: NDArray[np.int32],
    codes: Symbols,
    values: Symbols,
    widths: Integers,
    tables: Tables,
    slots: NDArray[np.uint32],
    pieces: Integers,
    escapes: Symbols,
) -> tuple[int, int]:
    """
    Find start and frequency of each code, and learn.

    Return how many pieces there are that are coded with the same tables, whose sizes are
    written to ``pieces``, and how many codes must be escaped, whose values to ``escapes``.
    """
    count = escaped = start = seen = 0
    following = until_refined(0)
    for width in widths:
        row_end = start + width
        while start < row_end:
            end = min(row_end, start + following - seen)
            own, own_codes = ids[start:end], codes[start:end]
            own_slots = slots[start:end]
            if find_slots(tables, own, own_codes, own_slots):
                refine_unknown(tables, own)
                find_slots(tables, own, own_codes, own_slots)
                for i in range(end - start):
                    if own_slots[i] & 0xFFFF == 0 or own_codes[i] == ESCAPE:
                        own_slots[i] = tables.slots[own[i], ESCAPE]
                        escapes[escaped] = values[start + i]
                        escaped += 1
            count_codes(tables, own, own_codes)
            pieces[count] = end - start
            count, seen, start = count + 1, seen + end - start, end
            if seen == following:
                refine_used(tables)
                following = seen + until_refined(seen)
    return count, escaped
