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

_FRACTION_BITS = 16
_MANTISSA_BITS = 30
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
    if symbols.size <= SEARCHED_SYMBOLS:
        return _best(symbols, alphabet)
    found = _best(_spread(symbols), alphabet)
    if found is None:
        return None
    # More symbols pay for more classes.
    counts = _run_counts(symbols, alphabet, found.run_log)
    best_bits, best = _classed(counts, found.run_log, found.count)
    while 2 * best.count in CLASS_COUNTS:
        bits, more = _classed(counts, found.run_log, 2 * best.count)
        if bits >= best_bits:
            break
        best_bits, best = bits, more
    return best


def _spread(symbols: Symbols) -> Symbols:
    """Return about ``SEARCHED_SYMBOLS`` symbols, in spans as long as the longest run."""
    span = 1 << RUN_LOGS[-1]
    spans = symbols[: symbols.size // span * span].reshape(-1, span)
    stride = -(-len(spans) * span // SEARCHED_SYMBOLS)
    return spans[::stride].ravel()


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
        counts = np.add.reduceat(counts, np.arange(0, len(counts), 2))
    return best


def _classed(counts: Exact, run_log: int, classes: int) -> tuple[int, Classes]:
    """Sort runs into classes; return what everything takes then, tables included."""
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
    # To begin with, runs are classed by what a symbol of theirs costs under one table for
    # all, and among equals by their mean symbol.
    sizes = counts.sum(axis=1)
    prices = np.matmul(counts, _costs(counts.sum(axis=0, keepdims=True))[0]) // sizes
    means = np.matmul(counts, np.arange(counts.shape[1], dtype=np.float64)) // sizes
    labels = np.empty(len(counts), np.int64)
    labels[np.lexsort((means, prices))] = np.arange(len(counts)) * classes // len(counts)
    for _ in range(ROUNDS):
        costs = _costs(_class_counts(counts, labels, classes))
        before, labels = labels, np.matmul(counts, costs.T).argmin(axis=1)
        if np.array_equal(before, labels):
            break
    tables = _class_counts(counts, labels, classes)
    bits = sum(_code_bits(table) for table in tables.astype(np.int64))
    return labels, bits + _code_bits(np.bincount(labels, minlength=classes))


def _class_counts(counts: Exact, labels: Integers, classes: int) -> Exact:
    members: Exact = (labels == np.arange(classes)[:, None]).astype(np.float64)
    tables: Exact = np.matmul(members, counts)
    return tables


def _code_bits(counts: Integers) -> int:
    """Return what the symbols of a histogram cost under their own frequencies."""
    return int(counts @ _costs(counts[None].astype(np.float64))[0].astype(np.int64))


def _costs(tables: Exact) -> Exact:
    """Return the cost of each symbol under each table; one that did not occur costs the most."""
    doubled = (2 * tables).astype(np.int64)
    totals = np.maximum(1, doubled.sum(axis=1, keepdims=True))
    return (fixed_log2(totals) - fixed_log2(np.maximum(1, doubled))).astype(np.float64)


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
    exponents = np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1
    left = np.maximum(0, _MANTISSA_BITS - exponents)
    right = np.maximum(0, exponents - _MANTISSA_BITS)
    mantissas = (values << left) >> right
    _append_fractions(mantissas.reshape(-1), exponents.reshape(-1))
    return exponents


@jit(nogil=True)
def _append_fractions(mantissas: Integers, results: Integers) -> None:
    for i, mantissa in enumerate(mantissas):
        result = results[i]
        for _ in range(_FRACTION_BITS):
            # Squaring the mantissa doubles the logarithm: its next bit comes out in front.
            mantissa = mantissa * mantissa >> _MANTISSA_BITS  # noqa: PLW2901
            carry = mantissa >> (_MANTISSA_BITS + 1)
            mantissa >>= carry  # noqa: PLW2901
            result = 2 * result + carry
        results[i] = result
