"""The similarity order, and permutations as numbers."""

import itertools
from math import factorial

import numpy as np
import pytest
from numpy.typing import NDArray

from artpack.coding.layouts import SimilarRows
from artpack.coding.layouts.rare.permutation import (
    pack_permutation,
    permutation_bytes,
    unpack_permutation,
)
from artpack.coding.layouts.rare.similar_rows import MAX_ROWS
from artpack.errors import CorruptError, UsageError
from artpack.stages.symbols import Symbols


def order_of(symbols: Symbols) -> list[int]:
    side, _ = SimilarRows().forward(symbols)
    return unpack_permutation(side, len(symbols))


def greedy_reference(symbols: Symbols) -> list[int]:
    """Follow the definition, with whole rows of Python integers."""
    rows: list[list[int]] = symbols.tolist()
    order = [0]
    while len(order) < len(rows):
        last = rows[order[-1]]
        waiting = [number for number in range(len(rows)) if number not in order]
        order.append(
            min(
                waiting,
                key=lambda number: sum(abs(a - b) for a, b in zip(rows[number], last, strict=True)),
            )
        )
    return order


def published_fill(count: int, stream: int) -> NDArray[np.float64]:
    """Return the pseudo-random numbers of PR 1934's golden vectors, in [-0.5, 0.5)."""
    mask = 0xFFFFFFFF
    values = []
    for index in range(count):
        h = (index + 1 + 100003 * (stream + 1)) * 2654435761 & mask
        h = (h ^ h >> 15) * 2246822519 & mask
        values.append((h ^ h >> 13) / 2**32 - 0.5)
    return np.array(values)


def test_published_matrix_has_the_published_order() -> None:
    codes = np.round(20 * published_fill(60, 9)).reshape(10, 6)
    assert codes[0].tolist() == [3, 1, 8, 3, -7, 4]

    assert order_of((codes + 128).astype(np.uint8)) == [0, 3, 5, 8, 6, 4, 7, 9, 1, 2]


@pytest.mark.parametrize("alphabet", [2, 5, 256])
def test_order_is_the_greedy_one_with_ties_to_the_first(alphabet: int) -> None:
    symbols = np.random.default_rng(alphabet).integers(0, alphabet, (60, 7), dtype=np.uint8)
    assert order_of(symbols) == greedy_reference(symbols)


def test_sorted_rows_are_stored_column_by_column() -> None:
    symbols = np.array([[0, 0], [9, 7], [1, 2]], dtype=np.uint8)
    _, ordered = SimilarRows().forward(symbols)

    assert ordered.tolist() == [0, 1, 9, 0, 2, 7]


def test_permutations_are_numbered_without_gaps() -> None:
    numbers = [
        int.from_bytes(pack_permutation(order), "little")
        for order in itertools.permutations(range(5))
    ]
    assert numbers == list(range(factorial(5)))


def test_a_rank_out_of_range_is_refused() -> None:
    largest = (factorial(5) - 1).to_bytes(1, "little")
    assert unpack_permutation(largest, 5) == [4, 3, 2, 1, 0]
    with pytest.raises(CorruptError, match="not below 5!"):
        unpack_permutation(factorial(5).to_bytes(1, "little"), 5)


@pytest.mark.parametrize("length", [0, 1, 2, 100, 8192])
def test_a_long_permutation_survives(length: int) -> None:
    order = np.random.default_rng(length).permutation(length).tolist()
    packed = pack_permutation(order)

    assert len(packed) == permutation_bytes(length)
    assert unpack_permutation(packed, length) == order


def test_more_rows_than_can_be_read_in_seconds_are_refused() -> None:
    with pytest.raises(UsageError, match="use another layout"):
        SimilarRows().forward(np.zeros((MAX_ROWS + 1, 0), dtype=np.uint8))
    with pytest.raises(CorruptError, match="rows, more than"):
        SimilarRows().side_bytes((10**15, 1))
