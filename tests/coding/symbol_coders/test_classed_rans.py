"""Classed rANS: below order 0 where there is something to find, no worse where there is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artpack.coding.symbol_coders import ClassedRans, Rans, classes
from artpack.coding.symbol_coders.classes import SEARCHED_SYMBOLS, find_classes, fixed_log2
from artpack.errors import CorruptError, TruncatedError
from artpack.stages.symbols import Symbols
from tests.laws import check_symbol_coder

CODER = ClassedRans()


def striped(columns: int, height: int, *, seed: int = 0) -> Symbols:
    """Gaussian columns one after the other, their spreads far apart."""
    generator = np.random.default_rng(seed)
    spreads = np.exp(generator.normal(0, 0.8, columns))[:, None]
    codes = (generator.normal(0, 1, (columns, height)) * spreads).round()
    return (codes.clip(-31, 31) + 31).astype(np.uint8).ravel()


def test_columns_of_unlike_spread_cost_less_than_order_0() -> None:
    symbols = striped(256, 512)
    columns = symbols.reshape(256, 512)
    ideal_bits = 0.0
    for column in columns:
        counts = np.bincount(column)
        share = counts[counts > 0] / 512
        ideal_bits -= 512 * float(share @ np.log2(share))
    coded, plain = len(CODER.encode(symbols, alphabet=63)), len(Rans().encode(symbols, alphabet=63))
    assert ideal_bits / 8 < coded < 0.9 * plain


def test_symbols_without_structure_cost_one_byte_more_than_rans() -> None:
    symbols = np.random.default_rng(0).integers(0, 63, 50_000, dtype=np.uint8)
    assert CODER.encode(symbols, alphabet=63) == b"\0" + Rans().encode(symbols, alphabet=63)


@pytest.mark.parametrize("size", [4096, 4097, 128 * 37 + 1, 20_000])
def test_classes_survive_whatever_the_last_run(size: int) -> None:
    symbols = striped(64, 512)[:size]
    data = CODER.encode(symbols, alphabet=63)
    assert data[0] > 0
    np.testing.assert_array_equal(CODER.decode(data, alphabet=63, count=size), symbols)


def test_a_small_classed_stream_keeps_the_laws() -> None:
    symbols = np.repeat(np.array([0, 60, 30, 10], np.uint8), 1024)
    symbols[::2] ^= 1
    assert CODER.encode(symbols, alphabet=63)[0] > 0
    check_symbol_coder(CODER, symbols, alphabet=63)


@settings(deadline=None)
@given(at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_damaged_byte_is_refused_or_decodes_to_symbols(at: int, flip: int) -> None:
    symbols = striped(16, 512)
    data = bytearray(CODER.encode(symbols, alphabet=63))
    data[at % len(data)] ^= flip
    try:
        decoded = CODER.decode(bytes(data), alphabet=63, count=symbols.size)
    except (CorruptError, TruncatedError):
        return
    assert decoded.shape == symbols.shape
    assert decoded.max() < 63


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError),
        (b"\x02", TruncatedError),
        (b"\x03\x08", CorruptError),
        (b"\x02\x05", CorruptError),
        (b"\x02\x08", TruncatedError),
        (b"\x02\x08\x80", TruncatedError),
        (b"\x02\x08\x80\x00", CorruptError),
        (b"\x02\x08" + b"\x80" * 9 + b"\x01", CorruptError),
        (b"\x02\x08\x7f", TruncatedError),
    ],
)
def test_every_broken_header_is_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        CODER.decode(data, alphabet=63, count=5000)


def test_of_many_symbols_a_sample_finds_as_good_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = striped(SEARCHED_SYMBOLS // 512 * 3, 512)
    by_sample = len(CODER.encode(symbols, alphabet=63))
    monkeypatch.setattr(classes, "SEARCHED_SYMBOLS", symbols.size)
    by_all = len(CODER.encode(symbols, alphabet=63))
    assert by_all <= by_sample <= 1.0005 * by_all


def test_a_search_over_one_run_finds_nothing() -> None:
    assert find_classes(np.zeros(100, np.uint8), 63) is None


def test_logarithms_are_those_of_floating_point() -> None:
    values = np.concatenate(
        [np.arange(1, 5000), np.random.default_rng(0).integers(1, 1 << 40, 5000)]
    )
    error = fixed_log2(values) - np.log2(values) * 65536
    assert error.max() <= 0
    assert error.min() > -2
