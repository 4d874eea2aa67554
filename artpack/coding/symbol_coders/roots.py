"""
The frequency table of an entropy coder, kept as small square roots.

A table is a few dozen numbers in front of thousands of symbols, so how finely
each is written matters. Coding ``n`` symbols with a share ``p`` that is off by
``e`` costs about ``n * e**2 / (2 * p)`` nats. In terms of the square root of
``p`` that is ``2 * n`` times the square of its error, whatever ``p`` is: equal
steps in the root are right for common and rare symbols alike. With steps of
``sqrt(2 / n)`` a root is simply ``sqrt(count / 2)``, rounded, which costs half a
bit for each symbol in use. Steps half as wide would save three eighths of a bit
and take a whole one more to write; steps twice as wide the other way round would
cost one and a half to save one.

Both sides turn roots into shares of ``2**24`` with integers alone.

Source: the square-root law is the Fisher metric of a discrete distribution;
codes of Rice (1979) for differences and of Elias (1975) for runs.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from artpack.errors import CorruptError, TruncatedError
from artpack.system.jit import jit

FREQUENCY_BITS = 24
"""Frequencies sum to two to this."""

_RICE_BITS = 3
# No table that pack_roots makes is longer: 256 roots, each at most 17 bits of run
# and, with the largest Rice parameter 7 and roots up to 4096, 71 bits of difference.
_MAX_TABLE_BYTES = 4096


def square_roots(counts: Sequence[int]) -> list[int]:
    """
    Write counts as roots.

    Args:
        counts: How often each symbol of the alphabet occurs.

    Returns:
        ``sqrt(count / 2)`` rounded half up; 0 only for a count of 0. The squares
        sum to at most ``2**24``: larger counts are halved, rounding up, until
        they do.

    >>> square_roots([0, 1, 8, 50, 5000])
    [0, 1, 2, 5, 50]

    """
    # floor(sqrt(c / 2) + 1 / 2) = floor((sqrt(2 * c) + 1) / 2), and a floor inside
    # changes nothing. The square root of an integer below 2**48 is never rounded up to another.
    left = np.array(counts, np.int64)
    while True:
        roots = (np.sqrt(2 * left).astype(np.int64) + 1) // 2
        if int(roots @ roots) <= 1 << FREQUENCY_BITS:
            return cast("list[int]", roots.tolist())
        left = (left + 1) // 2


def frequencies(roots: Sequence[int]) -> NDArray[np.int64]:
    """
    Turn roots into frequencies in proportion to their squares.

    Args:
        roots: All 1 or more, squares summing to at most ``2**24``.

    Returns:
        int64, one a root, all 1 or more, summing to ``2**24``.

    >>> frequencies([1, 2, 1]).tolist()
    [2796202, 11184811, 2796203]

    """
    squares = np.cumsum([0, *(root * root for root in roots)], dtype=np.int64)
    # Both factors are at most 2**24, so the product fits. Neighbouring quotients
    # differ by 2**24 / squares[-1] >= 1 or more, so their floors differ too.
    cumulative: NDArray[np.int64] = (squares << FREQUENCY_BITS) // squares[-1]
    return cumulative[1:] - cumulative[:-1]


def pack_roots(roots: Sequence[int], flags: int) -> bytes:
    """
    Write a table.

    Bits, most significant first: 2 of flags, 3 of the Rice parameter, then for
    every symbol its root. At the start and after a root of 0 comes the number of
    zeros that follow (Elias gamma, of one more), then unless the alphabet is
    over a root that is not 0 (Rice, of one less). Otherwise a root is written as
    its difference to the one before (Rice, zigzag: 0, -1, 1, -2, ...). Filled up
    to a byte with zero bits. Of all Rice parameters the shortest table wins, ties
    to the smallest.

    Args:
        roots: One a symbol of the alphabet.
        flags: 0 to 3: two bits for the caller.

    Returns:
        The table.

    >>> pack_roots([0, 0, 5, 6, 4, 0], 1).hex(" ")
    '53 4d dc'

    """
    rice, length = _shortest(roots)
    written = [_rice(v, rice) if is_root else _gamma(v) for is_root, v in _values(roots)]
    bits = f"{flags:02b}{rice:0{_RICE_BITS}b}" + "".join(written)
    return int(bits.ljust(8 * length, "0"), 2).to_bytes(length, "big")


def table_bytes(roots: Sequence[int]) -> int:
    """
    Return how long a table is.

    Args:
        roots: One a symbol of the alphabet.

    Returns:
        Bytes.

    >>> table_bytes([0, 0, 5, 6, 4, 0])
    3

    """
    return _shortest(roots)[1]


def unpack_roots(data: bytes, alphabet: int) -> tuple[list[int], int, int]:
    """
    Read a table.

    A table that no encoder writes (with a longer Rice code than need be, or with
    padding that is not zero) may pass: compare with :func:`pack_roots`.

    Args:
        data: Bytes that start with a table.
        alphabet: How many roots to read.

    Returns:
        The roots, the flags, and the number of bytes that they took. The squares
        sum to 1 to ``2**24``.

    Raises:
        CorruptError: A root or a run of zeros is impossible.
        TruncatedError: The data ends inside the table.

    """
    reader = _BitReader(data[:_MAX_TABLE_BYTES])
    flags, rice = reader.fixed(2), reader.fixed(_RICE_BITS)
    roots: list[int] = []
    while len(roots) < alphabet:
        previous = roots[-1] if roots else 0
        if previous:
            roots.append(previous + reader.difference(rice))
        else:
            roots += [0] * reader.run(alphabet - len(roots))
            if len(roots) < alphabet:
                roots.append(1 + reader.rice(rice))
    if min(roots) < 0 or not 1 <= sum(root * root for root in roots) <= 1 << FREQUENCY_BITS:
        raise CorruptError("rans: the frequency table is impossible")
    return roots, flags, -(-reader.position // 8)


def _shortest(roots: Sequence[int]) -> tuple[int, int]:
    """Return the best Rice parameter, the smallest of equals, and the bytes of the table."""
    lengths = _lengths(np.array(roots, np.int64), 1 << _RICE_BITS)
    rice = int(lengths.argmin())
    return rice, -(-(2 + _RICE_BITS + int(lengths[rice])) // 8)


@jit(nogil=True)
def _lengths(roots: NDArray[np.int64], choices: int) -> NDArray[np.int64]:
    """Return the bits of all roots under each Rice parameter: of what :func:`_values` yields."""
    lengths = np.zeros(choices, np.int64)
    previous = position = 0
    while position < len(roots):
        if previous:
            difference = roots[position] - previous
            value = 2 * difference if difference >= 0 else -2 * difference - 1
        else:
            run = 1
            while position < len(roots) and roots[position] == 0:
                position += 1
                run += 1
            while run:
                lengths += 2
                run >>= 1
            lengths -= 1
            if position == len(roots):
                break
            value = roots[position] - 1
        for rice in range(choices):
            lengths[rice] += (value >> rice) + 1 + rice
        previous = roots[position]
        position += 1
    return lengths


def _values(roots: Sequence[int]) -> Iterator[tuple[bool, int]]:
    """Yield what is written: whether it is a root, or its difference, and no run; and its value."""
    previous = position = 0
    while position < len(roots):
        if previous:
            yield True, _zigzag(roots[position] - previous)
        else:
            start = position
            while position < len(roots) and not roots[position]:
                position += 1
            yield False, position - start + 1
            if position == len(roots):
                break
            yield True, roots[position] - 1
        previous = roots[position]
        position += 1


def _gamma(value: int) -> str:
    bits = f"{value:b}"
    return "0" * (len(bits) - 1) + bits


def _rice(value: int, rice: int) -> str:
    """Write the high part as that many zeros, then a one, then the low ``rice`` bits."""
    return "0" * (value >> rice) + f"{1 << rice | value & ((1 << rice) - 1):b}"


def _zigzag(difference: int) -> int:
    return 2 * difference if difference >= 0 else -2 * difference - 1


class _BitReader:
    def __init__(self, data: bytes) -> None:
        self._bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
        self.position = 0

    def fixed(self, width: int) -> int:
        end = self.position + width
        if end > len(self._bits):
            raise TruncatedError("rans: the frequency table ends early")
        value = int(self._bits[self.position : end] or "0", 2)
        self.position = end
        return value

    def rice(self, rice: int) -> int:
        zeros = self._zeros()
        return zeros << rice | self.fixed(1 + rice) - (1 << rice)

    def difference(self, rice: int) -> int:
        zigzag = self.rice(rice)
        return -(zigzag + 1) // 2 if zigzag & 1 else zigzag // 2

    def run(self, longest: int) -> int:
        value = self.fixed(1 + self._zeros()) - 1
        if value > longest:
            raise CorruptError(f"rans: the frequency table has more than {longest} zeros to come")
        return value

    def _zeros(self) -> int:
        one = self._bits.find("1", self.position)
        if one < 0:
            raise TruncatedError("rans: the frequency table ends early")
        zeros, self.position = one - self.position, one
        return zeros
