"""The laws of symbol coders, for every coder of the table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artpack.coding.symbol_coders import SYMBOL_CODERS
from artpack.errors import CorruptError, UsageError
from artpack.stages import SymbolCoder
from artpack.stages.symbols import MAX_ALPHABET
from tests.laws import check_config_round_trip, check_decodes_only_its_own, check_symbol_coder
from tests.strategies import streams

ALPHABETS = (1, 2, 3, 5, 6, 64, 256)
LONGEST_WORD_DIGITS = 27

every_coder = pytest.mark.parametrize(
    "coder", [coder() for coder in SYMBOL_CODERS.values()], ids=list(SYMBOL_CODERS)
)

coder_of_one_form = pytest.mark.parametrize(
    "coder",
    [coder() for name, coder in SYMBOL_CODERS.items() if name != "adaptive"],
    ids=[name for name in SYMBOL_CODERS if name != "adaptive"],
)
"""The adaptive coder is free to class rows: see its own tests of damaged streams."""


def largest_alphabet(coder: SymbolCoder) -> int:
    return max(alphabet for alphabet in range(MAX_ALPHABET + 1) if coder.accepts(alphabet))


@every_coder
def test_config_survives_json(coder: SymbolCoder) -> None:
    check_config_round_trip(SYMBOL_CODERS, coder)


@every_coder
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_every_remainder_survives(coder: SymbolCoder, alphabet: int) -> None:
    alphabet = min(alphabet, largest_alphabet(coder))
    generator = np.random.default_rng(alphabet)
    for size in range(2 * LONGEST_WORD_DIGITS + 2):
        symbols = generator.integers(0, alphabet, size, dtype=np.uint8)
        check_symbol_coder(coder, symbols, alphabet=alphabet)


@every_coder
@settings(deadline=None)
@given(data=st.data())
def test_any_symbols_survive(coder: SymbolCoder, data: st.DataObject) -> None:
    symbols, alphabet = data.draw(streams(max_alphabet=largest_alphabet(coder)))
    check_symbol_coder(coder, symbols, alphabet=alphabet)


@coder_of_one_form
@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=60), alphabet=st.integers(1, 256), count=st.integers(0, 100))
def test_any_bytes_are_refused_or_canonical(
    coder: SymbolCoder, data: bytes, alphabet: int, count: int
) -> None:
    check_decodes_only_its_own(coder, data, alphabet=alphabet, count=count)


@coder_of_one_form
@settings(deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_canonical(coder: SymbolCoder, data: st.DataObject) -> None:
    symbols, alphabet = data.draw(streams(max_alphabet=largest_alphabet(coder)))
    coded = bytearray(coder.encode(symbols, alphabet=alphabet) or b"\0")
    position = data.draw(st.integers(0, len(coded) - 1))
    coded[position] ^= data.draw(st.integers(1, 255))

    check_decodes_only_its_own(coder, bytes(coded), alphabet=alphabet, count=symbols.size)


@every_coder
@pytest.mark.parametrize("alphabet", [-1, 0, 257])
def test_impossible_alphabets_are_refused(coder: SymbolCoder, alphabet: int) -> None:
    assert not coder.accepts(alphabet)
    with pytest.raises(UsageError, match="the alphabet must be 1 to"):
        coder.encode(np.zeros(3, dtype=np.uint8), alphabet=alphabet)
    with pytest.raises(CorruptError, match="the alphabet must be 1 to"):
        coder.decode(b"", alphabet=alphabet, count=0)


@every_coder
def test_symbols_beyond_the_alphabet_are_refused(coder: SymbolCoder) -> None:
    with pytest.raises(UsageError, match="symbol 3 is not below the alphabet 3"):
        coder.encode(np.array([0, 3], dtype=np.uint8), alphabet=3)


@every_coder
@pytest.mark.parametrize(
    "symbols", [np.zeros((2, 2), dtype=np.uint8), np.zeros(2, dtype=np.int64)], ids=["2-d", "int64"]
)
def test_anything_but_flat_bytes_is_refused(coder: SymbolCoder, symbols: np.ndarray) -> None:
    with pytest.raises(UsageError, match="must be one-dimensional uint8"):
        coder.encode(symbols, alphabet=2)


@every_coder
def test_symbols_need_not_be_contiguous(coder: SymbolCoder) -> None:
    symbols = np.tile(np.array([0, 1, 2, 2], dtype=np.uint8), 9)
    assert coder.encode(symbols[::-2], alphabet=3) == coder.encode(symbols[::-2].copy(), alphabet=3)
