"""
A permutation in the fewest bytes: its rank among all of the same length.

Of the numbers that are left, each next one is given by its position. The
positions are the digits of one integer, the first the most significant, in
bases ``length``, ``length - 1``, ..., 1.

Source: Lehmer, "Teaching combinatorial tricks to a computer" (1960).
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from math import factorial

from artpack.errors import CorruptError


@lru_cache
def permutation_bytes(length: int) -> int:
    """
    Return the size of a packed permutation.

    Args:
        length: How many numbers it permutes, 0 or more.

    Returns:
        ``ceil(log2(length!) / 8)``.

    >>> [permutation_bytes(length) for length in (0, 1, 2, 5, 6, 8192)]
    [0, 0, 1, 1, 2, 11836]

    """
    return ((factorial(length) - 1).bit_length() + 7) // 8


def pack_permutation(order: Sequence[int]) -> bytes:
    """
    Write a permutation.

    Args:
        order: Each of ``0`` to ``len(order) - 1`` once.

    Returns:
        Its rank in ``permutation_bytes(len(order))`` bytes, little-endian.

    >>> pack_permutation([3, 0, 1, 2]).hex(), pack_permutation([3, 2, 1, 0]).hex()
    ('12', '17')

    """
    left = list(range(len(order)))
    rank = 0
    for number in order:
        position = bisect_left(left, number)
        rank = rank * len(left) + position
        del left[position]
    return rank.to_bytes(permutation_bytes(len(order)), "little")


def unpack_permutation(data: bytes, length: int) -> list[int]:
    """
    Undo :func:`pack_permutation`.

    Args:
        data: ``permutation_bytes(length)`` bytes.
        length: How many numbers are permuted.

    Returns:
        The permutation.

    Raises:
        CorruptError: The rank is ``length!`` or more.

    """
    rank = int.from_bytes(data, "little")
    positions = []
    for base in range(1, length + 1):
        rank, position = divmod(rank, base)
        positions.append(position)
    if rank:
        raise CorruptError(f"permutation: the rank is not below {length}!")
    left = list(range(length))
    return [left.pop(position) for position in reversed(positions)]
