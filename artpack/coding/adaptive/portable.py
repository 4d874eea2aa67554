"""
The adaptive decoder in numpy alone, a piece of a wide row at a time.

It gives the same symbols as the compiled one and refuses the same streams.
"""

import numpy as np
from numpy.typing import NDArray

from artpack.coding.adaptive.arrangement import Arrangement
from artpack.coding.adaptive.stream import (
    LEAST_STATE,
    SYMBOLS_PER_LANE,
    Stream,
    check_end,
    follow_classes,
)
from artpack.coding.adaptive.tables import (
    BUCKETS,
    CENTRE,
    CLASS_TABLE,
    CODES,
    COUNT,
    ESCAPE,
    ESCAPE_WEIGHT,
    LARGEST_SQUARE,
    LOWERING,
    LOWERING_ROOTS,
    MOST_FEW,
    RAISING,
    RATES,
    SQUARE_BITS,
    TABLES,
    TOTAL,
    TOTAL_BITS,
    TREND_ROWS,
    WEIGHT_BITS,
    masked_priors,
    symbols_until_refined,
)
from artpack.errors import CorruptError, TruncatedError

Whole = NDArray[np.int32]
Codes = NDArray[np.uint8]


class Lanes:
    """rANS states side by side, which read one string of words."""

    def __init__(self, stream: Stream) -> None:
        self.states, self.words = stream.states.copy(), stream.words
        self.awake, self.left, self.end = len(self.states), stream.total, stream.words_end
        self.position = self.furthest = 2 * self.awake

    def draw(self, rows: NDArray[np.uint32], entries: NDArray[np.uint32]) -> Codes:
        """Decode a symbol with each of these rows of ``entries``, which begin at these places."""
        codes = np.empty(len(rows), np.uint8)
        at = 0
        while at < len(rows):
            while self.awake > 1 and self.left < SYMBOLS_PER_LANE * self.awake:
                self.retire(self.awake >> 1)
            size = min(self.awake, len(rows) - at)
            states = self.states[:size]
            places = states & np.uint32(TOTAL - 1)
            found = entries.take(rows[at : at + size] + places)
            codes[at : at + size] = found
            states >>= np.uint32(TOTAL_BITS)
            states *= found >> np.uint32(20)
            states += places
            states -= found >> np.uint32(8) & np.uint32(TOTAL - 1)
            self._refill(states)
            at += size
            self.left -= size
        return codes

    def _refill(self, states: NDArray[np.uint32]) -> None:
        needy = (states < LEAST_STATE).nonzero()[0]
        end = self.position + len(needy)
        if end > self.end:
            raise TruncatedError("adaptive: the bytes end early")
        states[needy] = states[needy] << np.uint32(16) | self.words[self.position : end]
        self.position, self.furthest = end, max(self.furthest, end)

    def retire(self, awake: int) -> None:
        """Let all but so many lanes give their words back."""
        last = self.states[awake : self.awake]
        if (last >> np.uint32(16) != 1).any():
            raise CorruptError("adaptive: a lane ends in a wrong state")
        self.position -= self.awake - awake
        self.words[self.position : self.position + len(last)] = last
        self.awake = awake


class Tables:
    """Frequencies of codes, refined from what was seen."""

    def __init__(self, stream: Stream) -> None:
        self._priors = masked_priors(stream.points.alphabet, stream.points.spacing)
        self._counts = np.zeros(TABLES * CODES, np.int64)
        self._known, self._fresh = np.zeros(TABLES, bool), np.zeros(TABLES, bool)
        self._seen = np.zeros(TABLES, np.int64)
        self._places: list[NDArray[np.int64]] = []
        self.frequencies = np.zeros((TABLES, CODES), np.int64)
        self.entries = np.empty((TABLES, TOTAL), np.uint32)
        """For each place of a table: frequency, start, code in 12, 12 and 8 bits."""

    def know(self, ids: Whole) -> None:
        """Make the tables that there are not yet."""
        known = self._known[ids]
        if not known.all():
            self.refine(np.unique(ids[~known]))

    def refine(self, tables: NDArray[np.int64]) -> None:
        """Make frequencies of what is expected and what was seen."""
        self._known[tables], self._fresh[tables] = True, False
        rows = np.where(tables == CLASS_TABLE, 2 * BUCKETS, tables % (2 * BUCKETS))
        weights = self._counts.reshape(TABLES, CODES)[tables] * COUNT + self._priors[rows]
        weights[:, ESCAPE] = ESCAPE_WEIGHT
        sums = weights.cumsum(axis=1)
        ends = sums * (((TOTAL - 1) << WEIGHT_BITS) // sums[:, -1:]) >> WEIGHT_BITS
        ends[:, ESCAPE] = TOTAL
        found = np.diff(ends, axis=1, prepend=0)
        self.frequencies[tables] = found
        packed = found << 20 | (ends - found) << 8 | np.arange(CODES)
        spread = packed.astype(np.uint32).ravel().repeat(found.ravel())
        self.entries[tables] = spread.reshape(-1, TOTAL)

    def count(self, ids: Whole, codes: Codes) -> None:
        """Remember what was seen."""
        self._places.append(ids * np.int64(CODES) + codes)

    def refine_used(self) -> None:
        """Refine the tables of which enough was seen."""
        places = np.concatenate(self._places)
        self._places.clear()
        np.add.at(self._counts, places, 1)
        self._fresh[places // CODES] = True
        fresh = self._fresh.nonzero()[0]
        seen = self._counts.reshape(TABLES, CODES)[fresh].sum(axis=1)
        enough = 16 * (seen - self._seen[fresh]) >= seen + 128
        self._seen[fresh[enough]] = seen[enough]
        if enough.any():
            self.refine(fresh[enough])


class Columns:
    """What is known of each column of a wide row."""

    def __init__(self, stream: Stream) -> None:
        count = int(stream.arrangement.starts[-1])
        self.squares = np.full(count, 1 << SQUARE_BITS, np.uint64)
        self.raising, self.lowering = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
        self.roots, self.sums = np.zeros(count, np.int32), np.zeros(count, np.int32)
        self.contexts, self.flipped = np.zeros(count, np.int32), np.zeros(count, np.int32)
        self.nodes, self.parities = np.zeros(count, np.int32), np.zeros(count, np.int32)
        self.mirror = False
        self._spacing = stream.points.spacing
        self._next, self._parity = _follow(*stream.points.taps.tolist())

    def set_classes(self, first: int, last: int, eighth: int) -> None:
        """Tell of what class the row of some columns is."""
        self.raising[first:last] = RAISING[eighth]
        self.lowering[first:last] = LOWERING[eighth]
        self.roots[first:last] = LOWERING_ROOTS[eighth]

    def find_tables(self, own: slice) -> Whole:
        """Return the table of each column's next symbol."""
        expected = self.squares[own] * self.raising[own] >> np.uint64(21)
        exponents = np.minimum(expected, (1 << 24) - 1).astype(np.float32).view(np.int32)
        buckets = np.maximum((exponents >> 21) - ((127 + 2) << 2), 0)
        ids: Whole = self.contexts[own] + (buckets << 1) + self.parities[own]
        return ids

    def learn(self, own: slice, offsets: Whole, rate: np.uint64) -> None:
        """Learn from symbols, and go on along the trellis."""
        parities = self.parities[own]
        points = self._spacing * offsets + parities
        self.sums[own] += points * self.roots[own] >> 8
        lowered = (points * points).astype(np.uint64) * self.lowering[own] >> np.uint64(8)
        lowered = np.minimum(lowered, LARGEST_SQUARE) * rate
        kept = self.squares[own] * (np.uint64(1 << SQUARE_BITS) - rate)
        self.squares[own] = kept + lowered >> np.uint64(SQUARE_BITS)
        if self._spacing > 1:
            steps = self.nodes[own] | offsets & 1
            self.nodes[own], self.parities[own] = self._next.take(steps), self._parity.take(steps)

    def find_contexts(self, width: int, rows: int) -> None:
        """Find the contexts of columns of which so many rows are known, a multiple of 8."""
        if rows < MOST_FEW:
            return
        sums, known = self.sums[:width], min(rows, 256)
        means = sums.astype(np.int64) ** 2
        squares = self.squares[:width].astype(np.int64) * known**2
        leaning = (12 * means >= squares).astype(np.int32) + (6 * means >= squares)
        leaning += (3 * means >= squares) + (3 * means >= 2 * squares).astype(np.int32)
        leaning[means == 0] = 0
        self.contexts[:width] = 2 * BUCKETS * (1 + leaning)
        self.flipped[:width] = (leaning > 0) & (sums < 0)
        self.mirror = bool(self.flipped.any())
        if rows >= RATES.shape[1]:
            sums -= sums >> 5


def _follow(mask: int, bit: int, of_parity: int, of_symbol: int) -> tuple[Whole, Whole]:
    """Return twice the state that follows twice a state plus a symbol's last bit; its parity."""
    states, odd = np.divmod(np.arange(2 * mask + 2, dtype=np.int32), 2)
    parities = states >> bit & 1
    following = (states << 1 & mask | parities) ^ of_parity * parities ^ of_symbol * odd
    return following * 2, following >> bit & 1


class Classes:
    """The classes of all rows."""

    def __init__(self, arrangement: Arrangement, eighths: NDArray[np.int64]) -> None:
        own = np.split(eighths, np.cumsum(arrangement.classes)[:-1])
        self._own = [found.tolist() for found in own]
        self._starts, self._spans = arrangement.starts.tolist(), arrangement.spans.tolist()

    def set(self, columns: Columns, row: int) -> None:
        """Tell columns of what classes a wide row is."""
        for m, (own, span) in enumerate(zip(self._own, self._spans, strict=True)):
            if row // span >= len(own):
                break
            if row % span == 0:
                columns.set_classes(self._starts[m], self._starts[m + 1], own[row // span])


class Decoder:
    """All of a stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.escaped = stream, 0
        self.lanes, self.tables = Lanes(stream), Tables(stream)

    def decode_piece(self, ids: Whole, flipped: Whole | None) -> Whole:
        """Decode symbols whose tables are known, some of them mirrored, and count them."""
        self.tables.know(ids)
        codes = self.lanes.draw(ids.astype(np.uint32) << np.uint32(TOTAL_BITS), self.tables.entries)
        offsets = codes.astype(np.int32) - CENTRE
        if flipped is not None:
            offsets = np.where(flipped, -offsets - (ids & 1), offsets)
        escapes = (codes == ESCAPE).nonzero()[0]
        if len(escapes):
            self._read_escapes(ids, flipped, codes, offsets, escapes)
        self.tables.count(ids, codes)
        return offsets

    def _read_escapes(
        self, ids: Whole, flipped: Whole | None, codes: Codes, offsets: Whole, at: NDArray[np.int64]
    ) -> None:
        values = self.stream.escapes[self.escaped : self.escaped + len(at)].astype(np.int32)
        if len(values) < len(at):
            raise CorruptError("adaptive: there are too few escapes")
        self.escaped += len(at)
        offsets[at] = values - CENTRE
        mirrored = values - CENTRE
        if flipped is not None:
            mirrored = np.where(flipped[at], -mirrored - (ids[at] & 1), mirrored)
        codes[at] = np.minimum(mirrored + CENTRE, ESCAPE)
        if (self.tables.frequencies[ids[at], codes[at]] * (codes[at] != ESCAPE)).any():
            raise CorruptError("adaptive: an escape stands for what has a frequency")

    def decode_classes(self) -> Whole:
        """Return the classes of all rows, as differences, one matrix after the other."""
        count, at = int(self.stream.arrangement.classes.sum()), 0
        ids = np.full(count, CLASS_TABLE, np.int32)
        differences = np.zeros(count, np.int32)
        while at < count:
            end = min(count, at + symbols_until_refined(at))
            differences[at:end] = self.decode_piece(ids[at:end], None)
            self.tables.refine_used()
            at = end
        return differences

    def decode_symbols(self, differences: Whole) -> Codes:
        """Return the symbols of all matrices, wide row by wide row."""
        arrangement, centre = self.stream.arrangement, self.stream.points.alphabet // 2
        columns, rates = Columns(self.stream), RATES[self.stream.prior]
        symbols = np.empty(arrangement.symbols, np.uint8)
        at, seen, following = 0, 0, symbols_until_refined(0)
        classes = Classes(arrangement, follow_classes(differences, arrangement))
        for row, width in enumerate(arrangement.widths.tolist()):
            classes.set(columns, row)
            if row % TREND_ROWS == 0:
                columns.find_contexts(width, row)
            rate, a = rates[min(row, len(rates) - 1)], 0
            while a < width:
                b = min(width, a + following - seen)
                own = slice(a, b)
                flipped = columns.flipped[own] if columns.mirror else None
                offsets = self.decode_piece(columns.find_tables(own), flipped)
                found = offsets + centre
                if found.min() < 0 or found.max() >= self.stream.points.alphabet:
                    raise CorruptError("adaptive: a symbol is not below the alphabet")
                symbols[at : at + b - a] = found
                columns.learn(own, offsets, rate)
                at, seen, a = at + b - a, seen + b - a, b
                if seen == following:
                    self.tables.refine_used()
                    following = seen + symbols_until_refined(seen)
        return symbols


def decode_plainly(stream: Stream) -> Codes:
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
    decoder = Decoder(stream)
    symbols = decoder.decode_symbols(decoder.decode_classes())
    lanes = decoder.lanes
    lanes.retire(0)
    check_end(stream, position=lanes.position, furthest=lanes.furthest, escapes=decoder.escaped)
    return symbols
