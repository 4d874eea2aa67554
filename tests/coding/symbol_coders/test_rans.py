"""Static rANS and its frequency table."""

from math import ceil, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artpack.coding.symbol_coders import Rans
from artpack.coding.symbol_coders.roots import (
    FREQUENCY_BITS,
    frequencies,
    pack_roots,
    square_roots,
    unpack_roots,
)
from artpack.errors import CorruptError, TruncatedError
from artpack.stages.symbols import Symbols


def gaussian(count: int, *, deviation: float, alphabet: int) -> Symbols:
    levels = np.random.default_rng(count).normal(alphabet // 2, deviation, count).round()
    return levels.clip(0, alphabet - 1).astype(np.uint8)


def entropy_bytes(symbols: Symbols) -> float:
    counts = np.bincount(symbols)
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / symbols.size)).sum() / 8)


@pytest.mark.parametrize("alphabet", [1, 2, 5, 63, 256])
@pytest.mark.parametrize("share", [0.01, 0.1, 1.0, 100.0])
def test_sizes_are_known_without_coding(alphabet: int, share: float) -> None:
    chance = np.random.default_rng(alphabet)
    for count in (0, 1, 7, 100, 3000, 40_000):
        shares = chance.dirichlet(np.full(alphabet, share))
        symbols = chance.choice(alphabet, count, p=shares).astype(np.uint8)
        expected = Rans().expected_bytes(symbols, alphabet=alphabet)
        assert 0 <= len(Rans().encode(symbols, alphabet=alphabet)) - expected <= 1


def test_sizes_of_long_streams_are_known_within_the_room_that_states_have() -> None:
    for deviation in (2.0, 9.0, 40.0):
        symbols = gaussian(300_000, deviation=deviation, alphabet=256)
        expected = Rans().expected_bytes(symbols, alphabet=256)
        assert abs(len(Rans().encode(symbols, alphabet=256)) - expected) <= 7 * 16 / 8


def reference_payload(symbols: Symbols, roots: list[int]) -> bytes:
    """Return what follows the table, by integers alone and one symbol at a time."""
    present = [symbol for symbol, root in enumerate(roots) if root]
    shares = frequencies([roots[symbol] for symbol in present]).tolist()
    ranks = [present.index(symbol) for symbol in symbols]
    tail = min(len(ranks), int(32 / log2(len(present))))
    state = 0
    for rank in ranks[len(ranks) - tail :]:
        state = state * len(present) + rank
    state += 1 << 32
    words: list[int] = []
    for rank in reversed(ranks[: len(ranks) - tail]):
        if state >> (64 - FREQUENCY_BITS) >= shares[rank]:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        quotient, remainder = divmod(state, shares[rank])
        state = (quotient << FREQUENCY_BITS) + sum(shares[:rank]) + remainder
    words += [state & 0xFFFFFFFF, state >> 32]
    return b"".join(word.to_bytes(4, "big") for word in reversed(words)).lstrip(b"\0")


@pytest.mark.parametrize("alphabet", [2, 3, 5, 64, 255, 256])
@pytest.mark.parametrize("count", [2, 40, 3000])
def test_bytes_are_those_of_integer_arithmetic(alphabet: int, count: int) -> None:
    symbols = gaussian(count, deviation=alphabet / 6, alphabet=alphabet)
    symbols[:2] = 0, 1
    data = Rans().encode(symbols, alphabet=alphabet)
    roots, dropped, size = unpack_roots(data, alphabet)

    assert data[size:] == reference_payload(symbols, roots)
    assert dropped == -(len(data) - size) % 4


@pytest.mark.parametrize("rest", range(8))
def test_long_streams_are_dealt_out_to_states(rest: int) -> None:
    """Integer arithmetic again, with eight states that take turns and share the words."""
    symbols = gaussian((1 << 18) + rest, deviation=4.0, alphabet=64)
    data = Rans().encode(symbols, alphabet=64)
    roots, dropped, size = unpack_roots(data, 64)
    words = np.frombuffer(bytes(dropped) + data[size:], ">u4").tolist()
    present = [symbol for symbol, root in enumerate(roots) if root]
    shares = frequencies([roots[symbol] for symbol in present]).tolist()
    starts = [sum(shares[:rank]) for rank in range(len(shares) + 1)]
    tail = int(32 / log2(len(present)))
    short = (8 * tail - symbols.size) % 8
    states, left = [words[2 * j] << 32 | words[2 * j + 1] for j in range(8)], words[:15:-1]
    for i, symbol in enumerate(symbols[: symbols.size - 8 * tail + short].tolist()):
        state = states[i % 8]
        low = state % (1 << FREQUENCY_BITS)
        rank = present.index(symbol)
        assert starts[rank] <= low < starts[rank + 1]
        state = shares[rank] * (state >> FREQUENCY_BITS) + low - starts[rank]
        states[i % 8] = state << 32 | left.pop() if state < 1 << 32 else state
    ranks = []
    for j, state in enumerate(states):
        digits = tail - (j >= 8 - short)
        ranks += [(state - (1 << 32)) // len(present) ** d % len(present) for d in range(digits)][
            ::-1
        ]
    assert [present[rank] for rank in ranks] == symbols[symbols.size - len(ranks) :].tolist()
    assert not left
    np.testing.assert_array_equal(Rans().decode(data, alphabet=64, count=symbols.size), symbols)


@pytest.mark.parametrize("cut", [1, 4, 400])
def test_long_streams_that_were_changed_are_refused(cut: int) -> None:
    symbols = gaussian(1 << 18, deviation=4.0, alphabet=64)
    data = Rans().encode(symbols, alphabet=64)
    with pytest.raises(TruncatedError):
        Rans().decode(data[:-cut], alphabet=64, count=symbols.size)
    with pytest.raises(CorruptError):
        Rans().decode(data + bytes(4 * cut), alphabet=64, count=symbols.size)
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    with pytest.raises(CorruptError):
        Rans().decode(bytes(damaged), alphabet=64, count=symbols.size)


@pytest.mark.parametrize(
    ("alphabet", "deviation"), [(64, 2.41), (5, 0.9), (3, 0.7), (16, 2.0), (64, 8.0)]
)
def test_a_million_symbols_come_within_a_twentieth_of_a_percent_of_entropy(
    alphabet: int, deviation: float
) -> None:
    symbols = gaussian(1_000_000, deviation=deviation, alphabet=alphabet)
    data = Rans().encode(symbols, alphabet=alphabet)

    assert len(data) <= 1.0005 * entropy_bytes(symbols)


@pytest.mark.parametrize("count", [100, 200, 500, 2000, 5000])
def test_a_few_symbols_beat_counts_written_out(count: int) -> None:
    symbols = gaussian(count, deviation=5.0, alphabet=32)
    data = Rans().encode(symbols, alphabet=32)
    used = np.unique(symbols).size
    counts_bytes = used * ceil(log2(count)) / 8

    assert len(data) <= entropy_bytes(symbols) + counts_bytes


def test_a_stream_longer_than_a_block_survives() -> None:
    symbols = gaussian((1 << 21) + 12345, deviation=3.0, alphabet=64)
    data = Rans().encode(symbols, alphabet=64)

    np.testing.assert_array_equal(Rans().decode(data, alphabet=64, count=symbols.size), symbols)


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_an_alphabet_of_one_takes_no_bytes(count: int) -> None:
    assert Rans().encode(np.zeros(count, dtype=np.uint8), alphabet=1) == b""


@pytest.mark.parametrize("symbol", [0, 7, 255])
def test_a_single_symbol_takes_the_table_alone(symbol: int) -> None:
    symbols = np.full(10_000, symbol, dtype=np.uint8)
    data = Rans().encode(symbols, alphabet=256)

    assert data == pack_roots(square_roots(np.bincount(symbols, minlength=256).tolist()), 0)
    np.testing.assert_array_equal(Rans().decode(data, alphabet=256, count=10_000), symbols)


def test_two_rare_symbols_in_a_million_cost_a_dozen_bytes() -> None:
    symbols = np.zeros(1_000_000, dtype=np.uint8)
    symbols[[5, 999_990]] = 1

    assert len(Rans().encode(symbols, alphabet=2)) == 12


def test_a_table_of_other_symbols_is_refused() -> None:
    symbols = np.array([0, 1] * 40, dtype=np.uint8)
    roots = square_roots([40, 40, 1])
    payload = reference_payload(symbols, roots)

    with pytest.raises(CorruptError, match="not that of the symbols"):
        Rans().decode(pack_roots(roots, -len(payload) % 4) + payload, alphabet=3, count=80)


def test_a_single_symbol_followed_by_words_is_refused() -> None:
    table = pack_roots(square_roots([3, 0]), 0)
    with pytest.raises(CorruptError, match="left over"):
        Rans().decode(table + b"\1\1\1\1", alphabet=2, count=3)


@pytest.mark.parametrize("surplus", [1, 2, 100])
def test_words_beyond_the_last_symbol_are_refused(surplus: int) -> None:
    symbols = gaussian(500, deviation=2.0, alphabet=16)
    data = Rans().encode(symbols, alphabet=16)
    with pytest.raises(CorruptError, match="left over"):
        Rans().decode(data + b"\7\7\7\7" * surplus, alphabet=16, count=500)


@settings(deadline=None)
@given(st.lists(st.integers(0, 1 << 30), min_size=1, max_size=256), st.integers(0, 3))
def test_any_table_survives(counts: list[int], flags: int) -> None:
    roots = square_roots([*counts, 1])
    table = pack_roots(roots, flags)

    assert unpack_roots(table + b"rest", len(roots)) == (roots, flags, len(table))


@settings(deadline=None)
@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=256))
def test_present_symbols_and_no_others_have_a_frequency(counts: list[int]) -> None:
    roots = square_roots([*counts, 1])
    shares = frequencies([root for root in roots if root])

    assert [root > 0 for root in roots] == [count > 0 for count in [*counts, 1]]
    assert shares.min() >= 1
    assert shares.sum() == 1 << FREQUENCY_BITS


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.integers(2, 256))
def test_any_bytes_are_a_usable_table_or_refused(data: bytes, alphabet: int) -> None:
    try:
        roots, _, size = unpack_roots(data, alphabet)
    except (CorruptError, TruncatedError):
        return
    assert len(roots) == alphabet
    assert size <= len(data)
    assert frequencies([root for root in roots if root]).min() >= 1
