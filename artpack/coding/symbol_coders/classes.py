"""
Classes of runs of symbols that are distributed alike, found in integers.

The search is k-means with code length for a distance: each class has a table of
what a symbol costs, each run joins the class that codes it in the fewest bits,
each table follows its members. Costs are whole multiples of 2**-16 bits and all
sums stay below 2**53, so every machine finds the same classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from artpack.stages.symbols import Symbols, histogram
from artpack.system.jit import jit

Integers = NDArray[np.int64]
Exact = NDArray[np.float64]
"""Integers below 2**53, held as floating point because that is what multiplies fast."""

RUN_LOGS = range(7, 12)
"""Logarithms of the lengths of run that are tried: 128 to 2048 symbols."""

CLASS_COUNTS = (2, 4, 8, 16, 32)
ROUNDS = 12

SEARCHED_SYMBOLS = 1 << 17
"""Of more symbols, so many settle the length of runs and the number of classes."""

_MIXED_RUN_LOG, _MIXED_CLASSES = 8, 4

_SCATTER = 2654435769
"""``2**32`` over the golden ratio: bit 32 of its multiples repeats after no few of them."""

_CLUSTERED_RUNS, _LAST_ROUNDS = 1 << 12, 2
"""Of more runs, so many settle what classes are like."""

_FRACTION_BITS = 16
_MANTISSA_BITS = 30
_EMPTY_COST = 64 << _FRACTION_BITS
_TABLE_BITS = 8 * 30 << _FRACTION_BITS
"""What a frequency table takes, about."""


@dataclass(frozen=True)
class Classes:
    """
    Runs with their classes.

    Attributes:
        run_log: Logarithm of the number of symbols in a run; the last may be shorter.
        labels: uint8, the class of each run.
        count: How many classes there may be.
    """

    run_log: int
    labels: Symbols
    count: int


def find_classes(symbols: Symbols, alphabet: int) -> Classes | None:
    """
    Find the runs and classes that promise the shortest code.

    Args:
        symbols: uint8, one-dimensional.
        alphabet: Symbols are below it.

    Returns:
        The best of all lengths of run and numbers of classes, by an estimate; None
        where one class for all promises no less.

    """
    # Symbols beyond those that occur would change nothing, and take time and memory.
    low, high = int(symbols.min(initial=alphabet - 1)), int(symbols.max(initial=0))
    # The products are many and small: BLAS threads would mostly wait for each other.
    with threadpool_limits(1, user_api="blas"):
        return _search(symbols - np.uint8(low), max(high - low, 0) + 1)


def _search(symbols: Symbols, alphabet: int) -> Classes | None:
    sample = symbols if symbols.size <= SEARCHED_SYMBOLS else _spread(symbols)
    found = _best(sample, alphabet) if _is_mixed(sample, alphabet) else None
    if found is None or sample is symbols:
        return found
    counts = _run_counts(symbols, alphabet, found.run_log)
    best = _with_more(counts, found.run_log, found.count)
    if found.run_log < RUN_LOGS[-1]:
        longer = _with_more(_joined(counts), found.run_log + 1, found.count)
        best = min(best, longer, key=lambda pair: pair[0])
    return best[1]


def _with_more(counts: Exact, run_log: int, classes: int) -> tuple[int, Classes]:
    """Sort runs into so many classes, or into more, which more symbols pay for."""
    best = _classed(counts, run_log, classes)
    while 2 * best[1].count in CLASS_COUNTS:
        more = _classed(counts, run_log, 2 * best[1].count)
        if more[0] >= best[0]:
            break
        best = more
    return best


def _joined(counts: Exact) -> Exact:
    """Return the histograms of runs of twice the length."""
    joined: Exact = np.add.reduceat(counts, np.arange(0, len(counts), 2))
    return joined


def _spread(symbols: Symbols) -> Symbols:
    """Return about ``SEARCHED_SYMBOLS`` symbols, in spans as long as the longest run."""
    span = 1 << RUN_LOGS[-1]
    spans = symbols[: symbols.size // span * span].reshape(-1, span)
    stride = -(-len(spans) * span // SEARCHED_SYMBOLS)
    return spans[::stride].ravel()


def _is_mixed(symbols: Symbols, alphabet: int) -> bool:
    """
    Tell whether runs differ by more than chance.

    Half of the symbols of each run say which class it is of and what the classes are like; the
    other half is coded by that. Where there is nothing to find, one table for all is better.
    """
    halves = np.zeros((2, -(-symbols.size >> _MIXED_RUN_LOG), alphabet))
    _count_halves(symbols, _MIXED_RUN_LOG, halves)
    seen, judged = halves
    if len(seen) < 2 * _MIXED_CLASSES:
        return True
    alike = float((judged @ _costs(seen.sum(axis=0, keepdims=True))[0]).sum())
    for labels in _first_labels(seen, _MIXED_CLASSES):
        costs = _costs(_class_counts(seen, labels, _MIXED_CLASSES))
        if float((judged * costs[labels]).sum()) < alike:
            return True
    return False


@jit(nogil=True)
def _count_halves(symbols: Symbols, run_log: int, counts: Exact) -> None:
    for place, symbol in enumerate(symbols):
        # Scattered halves: what repeats every two or four symbols is in both.
        counts[place * _SCATTER >> 32 & 1, place >> run_log, symbol] += 1


def _best(symbols: Symbols, alphabet: int) -> Classes | None:
    best_bits = _code_bits(histogram(symbols, alphabet)) + _TABLE_BITS
    best: Classes | None = None
    counts = _run_counts(symbols, alphabet, RUN_LOGS[0])
    for run_log in RUN_LOGS:
        for classes in CLASS_COUNTS:
            if 2 * classes > len(counts):
                break
            bits, tried = _classed(counts, run_log, classes)
            if bits < best_bits:
                best_bits, best = bits, tried
        counts = _joined(counts)
    return best


def _classed(counts: Exact, run_log: int, classes: int) -> tuple[int, Classes]:
    """Sort runs into classes; return what everything takes then, tables included."""
    if len(counts) > _CLUSTERED_RUNS:
        some = counts[:: -(-len(counts) // _CLUSTERED_RUNS)]
        tables = _class_counts(some, _cluster(some, classes)[0], classes)
        labels, bits = _settle(counts, tables, _LAST_ROUNDS)
    else:
        labels, bits = _cluster(counts, classes)
    return bits + classes * _TABLE_BITS, Classes(run_log, labels.astype(np.uint8), classes)


def _run_counts(symbols: Symbols, alphabet: int, run_log: int) -> Exact:
    """Return the histogram of each run."""
    counts = np.zeros((-(-symbols.size >> run_log), alphabet))
    _count_runs(symbols, run_log, counts)
    return counts


@jit(nogil=True)
def _count_runs(symbols: Symbols, run_log: int, counts: Exact) -> None:
    for place, symbol in enumerate(symbols):
        counts[place >> run_log, symbol] += 1


def _cluster(counts: Exact, classes: int) -> tuple[Integers, int]:
    """Return the class of each run, and the bits of all symbols and of the classes' names."""
    labels, _ = _first_labels(counts, classes)
    return _settle(counts, _class_counts(counts, labels, classes), ROUNDS)


def _first_labels(counts: Exact, classes: int) -> tuple[Integers, Integers]:
    """Class runs by what a symbol of theirs costs and then by their mean, and by the mean alone."""
    sizes = np.maximum(1, counts.sum(axis=1))
    prices = np.matmul(counts, _costs(counts.sum(axis=0, keepdims=True))[0]) // sizes
    means = np.matmul(counts, np.arange(counts.shape[1], dtype=np.float64)) // sizes
    ranks = np.arange(len(counts)) * classes // len(counts)
    by_price, by_mean = np.empty((2, len(counts)), np.int64)
    by_price[np.lexsort((means, prices))] = ranks
    by_mean[np.argsort(means, kind="stable")] = ranks
    return by_price, by_mean


def _settle(counts: Exact, tables: Exact, rounds: int) -> tuple[Integers, int]:
    """Let runs join the class that codes them best, and tables follow, a few times."""
    labels: Integers = np.zeros(0, np.int64)
    for _ in range(rounds):
        before, labels = labels, np.matmul(counts, _costs(tables).T).argmin(axis=1)
        if np.array_equal(before, labels):
            break
        tables = _class_counts(counts, labels, len(tables))
    bits = sum(_code_bits(table) for table in tables.astype(np.int64))
    return labels, bits + _code_bits(np.bincount(labels, minlength=len(tables)))


def _class_counts(counts: Exact, labels: Integers, classes: int) -> Exact:
    tables = np.zeros((classes, counts.shape[1]))
    _add_up(counts, labels, tables)
    return tables


@jit(nogil=True)
def _add_up(counts: Exact, labels: Integers, tables: Exact) -> None:
    for run, label in enumerate(labels):
        for symbol in range(counts.shape[1]):
            tables[label, symbol] += counts[run, symbol]


def _code_bits(counts: Integers) -> int:
    """Return what the symbols of a histogram cost under their own frequencies."""
    return int(counts @ _costs(counts[None].astype(np.float64))[0].astype(np.int64))


def _costs(tables: Exact) -> Exact:
    """Return the cost of each symbol under each table; one that did not occur costs the most."""
    costs = np.empty(tables.shape)
    _fill_costs(tables, costs)
    return costs


@jit(nogil=True)
def _fill_costs(tables: Exact, costs: Exact) -> None:
    for row in range(len(tables)):
        total = int(tables[row].sum())
        for col in range(tables.shape[1]):
            if total:
                count = int(tables[row, col])
                costs[row, col] = _log2(2 * total) - _log2(max(1, 2 * count))
            else:
                # Nothing is known of a class that lost all its runs: none joins it again.
                costs[row, col] = _EMPTY_COST


def fixed_log2(values: Integers) -> Integers:
    """
    Take logarithms in integers alone.

    Args:
        values: 1 to 2**40.

    Returns:
        ``floor(log2(value) * 2**16)``, or one less at times.

    >>> (fixed_log2(np.array([1, 2, 3, 1024])) / 65536).round(4).tolist()
    [0.0, 1.0, 1.585, 10.0]

    """
    results = np.empty_like(values)
    _take_logarithms(values.reshape(-1), results.reshape(-1))
    return results


@jit(nogil=True)
def _take_logarithms(values: Integers, results: Integers) -> None:
    for i, value in enumerate(values):
        results[i] = _log2(value)


@jit(nogil=True)
def _log2(value: int) -> int:
    exponent = 0
    while value >> exponent > 1:
        exponent += 1
    mantissa = value << max(0, _MANTISSA_BITS - exponent) >> max(0, exponent - _MANTISSA_BITS)
    result = exponent
    for _ in range(_FRACTION_BITS):
        # Squaring the mantissa doubles the logarithm: its next bit comes out in front.
        mantissa = mantissa * mantissa >> _MANTISSA_BITS
        carry = mantissa >> (_MANTISSA_BITS + 1)
        mantissa >>= carry
        result = 2 * result + carry
    return result
