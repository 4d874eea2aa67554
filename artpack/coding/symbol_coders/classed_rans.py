"""rANS with a few frequency tables: runs of symbols are sorted into classes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from artpack.coding.symbol_coders.checked_coder import CheckedCoder
from artpack.coding.symbol_coders.classes import (
    CLASS_COUNTS,
    RUN_LOGS,
    Classes,
    Integers,
    find_classes,
)
from artpack.coding.symbol_coders.rans import Rans
from artpack.errors import CorruptError, TruncatedError
from artpack.stages.symbols import Symbols
from artpack.system.jit import jit

_RANS = Rans()
_PLAIN = 0


@dataclass(frozen=True)
class ClassedRans(CheckedCoder):
    """
    Below the order-0 entropy where the spread of symbols changes along the way.

    Weights laid out by columns are such a case: every input of a layer has a scale
    of its own. The symbols are cut into runs of 2**l, each of one of k classes, and
    each class is a stream of :class:`Rans` with a table of its own.

    A stream begins with the byte k. If that is 0, one stream of ``Rans`` follows:
    there are no classes. Otherwise follow l as a byte, the classes of all runs as
    a stream of ``Rans`` of alphabet k, and the streams of the classes in order, each
    with the symbols of its runs, in order. In front of each stream but the last
    stands its size, seven bits a byte, the least first, the top bit set on all but
    the last byte. No symbols, or an alphabet of 1, take no bytes.

    >>> symbols = np.repeat(np.array([0, 9, 0, 8], np.uint8), 4096)
    >>> symbols[::2] ^= 1
    >>> len(Rans().encode(symbols, alphabet=16)), len(ClassedRans().encode(symbols, alphabet=16))
    (4105, 2071)

    Source: the idea of block-switched Huffman tables (bzip2), with k-means on code
    length for a search.

    """

    stage_id: ClassVar[str] = "classed-rans"

    def _encode(self, symbols: Symbols, alphabet: int) -> bytes:
        if not symbols.size or alphabet == 1:
            return b""
        classes = find_classes(symbols, alphabet)
        classed = b"" if classes is None else _encode_classes(symbols, alphabet, classes)
        if 0 < len(classed) <= _RANS.expected_bytes(symbols, alphabet=alphabet):
            return classed
        return bytes([_PLAIN]) + _RANS.encode(symbols, alphabet=alphabet)

    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols:
        if not count or alphabet == 1:
            return _RANS.decode(data, alphabet=alphabet, count=count)
        if not data:
            raise TruncatedError("classed-rans: nothing is there")
        if data[0] == _PLAIN:
            return _RANS.decode(data[1:], alphabet=alphabet, count=count)
        return _decode_classes(data, alphabet, count)


def _encode_classes(symbols: Symbols, alphabet: int, classes: Classes) -> bytes:
    ends = _ends(classes.labels, classes.run_log, classes.count, symbols.size)
    sorted_ = np.empty_like(symbols)
    _sort(symbols, classes.labels, classes.run_log, _starts(ends), sorted_)
    streams = [_RANS.encode(classes.labels, alphabet=classes.count)]
    streams += [_RANS.encode(part, alphabet=alphabet) for part in np.split(sorted_, ends[:-1])]
    sized = b"".join(_size(len(stream)) + stream for stream in streams[:-1])
    return bytes([classes.count, classes.run_log]) + sized + streams[-1]


def _decode_classes(data: bytes, alphabet: int, count: int) -> Symbols:
    if len(data) < 2:
        raise TruncatedError("classed-rans: the header ends early")
    classes, run_log = data[0], data[1]
    if classes not in CLASS_COUNTS or run_log not in RUN_LOGS:
        raise CorruptError(f"classed-rans: {classes} classes of runs of 2**{run_log}")
    runs = -(-count >> run_log)
    stream, at = _cut(data, 2)
    labels = _RANS.decode(stream, alphabet=classes, count=runs)
    ends = _ends(labels, run_log, classes, count)
    sorted_, symbols = np.empty(count, np.uint8), np.empty(count, np.uint8)
    for label, part in enumerate(np.split(sorted_, ends[:-1])):
        stream, at = _cut(data, at) if label < classes - 1 else (data[at:], len(data))
        part[:] = _RANS.decode(stream, alphabet=alphabet, count=part.size)
    _unsort(sorted_, labels, run_log, _starts(ends), symbols)
    return symbols


def _ends(labels: Symbols, run_log: int, classes: int, count: int) -> Integers:
    """Return where each class ends when its runs are put together."""
    sizes = np.bincount(labels, minlength=classes) << run_log
    if len(labels):
        sizes[labels[-1]] -= (len(labels) << run_log) - count
    return np.cumsum(sizes)


def _starts(ends: Integers) -> Integers:
    return np.concatenate((np.zeros(1, np.int64), ends[:-1]))


@jit(nogil=True)
def _sort(
    symbols: Symbols, labels: Symbols, run_log: int, places: Integers, sorted_: Symbols
) -> None:
    for run, label in enumerate(labels):
        start = run << run_log
        size = min(1 << run_log, len(symbols) - start)
        sorted_[places[label] : places[label] + size] = symbols[start : start + size]
        places[label] += size


@jit(nogil=True)
def _unsort(
    sorted_: Symbols, labels: Symbols, run_log: int, places: Integers, symbols: Symbols
) -> None:
    for run, label in enumerate(labels):
        start = run << run_log
        size = min(1 << run_log, len(symbols) - start)
        symbols[start : start + size] = sorted_[places[label] : places[label] + size]
        places[label] += size


def _size(size: int) -> bytes:
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size])


def _cut(data: bytes, at: int) -> tuple[bytes, int]:
    """Read a stream with its size in front; return it and where it ends."""
    size = shift = 0
    while True:
        if at >= len(data):
            raise TruncatedError("classed-rans: a size ends early")
        byte = data[at]
        size |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
        if shift > 56:
            raise CorruptError("classed-rans: a size has too many bytes")
    if shift > 7 and not byte:
        raise CorruptError("classed-rans: a size is padded")
    if at + size > len(data):
        raise TruncatedError("classed-rans: a stream ends early")
    return data[at : at + size], at + size
