"""The adaptive coder: below order 0 where rows and columns differ, exact, the same everywhere."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artpack.coding.codecs import Stored
from artpack.coding.layouts import Rows
from artpack.coding.pipeline import Pipeline
from artpack.coding.symbol_coders import Adaptive, Rans
from artpack.errors import CorruptError, TruncatedError, UsageError
from artpack.stages.symbols import Symbols
from artpack.stages.trellis import POLYNOMIALS
from tests.coding.symbol_coders import slow_adaptive
from tests.strategies import parts

STATES = (1, *POLYNOMIALS)


def drawn(
    rows: int, cols: int, *, row_spread: float, col_spread: float, lean: float = 0
) -> Symbols:
    """Gaussian codes of radius 63 whose scale is that of the row times that of the column."""
    chance = np.random.default_rng(0)
    scales = np.exp(row_spread * chance.normal(size=(rows, 1)))
    scales = 3 * scales * np.exp(col_spread * chance.normal(size=cols))
    codes = scales * (chance.normal(size=(rows, cols)) + lean * chance.normal(size=cols))
    return (codes.round().clip(-63, 63) + 63).astype(np.uint8)


def rans_bytes(symbols: Symbols, alphabet: int) -> int:
    return len(Rans().encode(symbols.ravel(), alphabet=alphabet))


@pytest.mark.parametrize(
    ("row_spread", "col_spread", "lean", "share"),
    [(0.0, 0.0, 0.0, 1.005), (0.3, 0.15, 0.0, 0.98), (0.0, 0.7, 0.0, 0.92), (0.0, 0.0, 1.0, 0.9)],
)
def test_it_learns_the_scale_of_rows_and_columns_and_where_columns_lean(
    row_spread: float, col_spread: float, lean: float, share: float
) -> None:
    symbols = drawn(256, 256, row_spread=row_spread, col_spread=col_spread, lean=lean)
    coded = Adaptive().encode_matrices([symbols], alphabet=127)
    assert len(coded) < share * rans_bytes(symbols, 127)


@pytest.mark.parametrize("size", [1, 3, 8, 64, 256, 1024])
@pytest.mark.parametrize("flip", [False, True])
def test_a_few_symbols_take_no_more_than_static_rans(size: int, *, flip: bool) -> None:
    symbols = drawn(1, size, row_spread=0, col_spread=0)
    coded = Adaptive().encode_matrices([symbols.T if flip else symbols], alphabet=127)
    assert len(coded) <= rans_bytes(symbols, 127)


@settings(deadline=None, max_examples=40)
@given(matrices=st.lists(parts(), max_size=4), spare=st.integers(0, 9), data=st.data())
def test_any_matrices_survive_any_trellis(
    matrices: list[Symbols], spare: int, data: st.DataObject
) -> None:
    states = data.draw(st.sampled_from(STATES))
    largest = max((int(matrix.max(initial=0)) for matrix in matrices), default=0)
    alphabet = min(256, largest + 1 + spare)
    shapes = [(matrix.shape[0], matrix.shape[1]) for matrix in matrices]
    coder = Adaptive(states)
    coded = coder.encode_matrices(matrices, alphabet=alphabet)
    decoded = coder.decode_matrices(coded, shapes=shapes, alphabet=alphabet)
    assert all(map(np.array_equal, decoded, matrices))
    assert [matrix.shape for matrix in decoded] == shapes
    for size in range(len(coded)):
        with pytest.raises(TruncatedError):
            coder.decode_matrices(coded[:size], shapes=shapes, alphabet=alphabet)


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=40), alphabet=st.integers(1, 256), states=st.sampled_from(STATES))
def test_any_bytes_are_refused_or_canonical(data: bytes, alphabet: int, states: int) -> None:
    coder, shapes = Adaptive(states), [(0, 4), (5, 3), (4, 0), (2, 6)]
    try:
        matrices = coder.decode_matrices(data, shapes=shapes, alphabet=alphabet)
    except (CorruptError, TruncatedError):
        return
    assert coder.encode_matrices(matrices, alphabet=alphabet) == data


def test_symbols_that_take_more_than_a_byte_each_survive() -> None:
    """The longest codes there are: what was never seen, where nothing was expected."""
    matrix = np.full((64, 40), 128, np.uint8)
    matrix[63] = 255
    coded = Adaptive().encode_matrices([matrix[:63], matrix[63:]] * 2, alphabet=256)
    shapes = [(63, 40), (1, 40)] * 2
    decoded = Adaptive().decode_matrices(coded, shapes=shapes, alphabet=256)
    np.testing.assert_array_equal(np.concatenate(decoded), np.concatenate([matrix, matrix]))


def test_room_is_made_for_bytes_beyond_one_a_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = np.random.default_rng(0).integers(0, 256, (1, 9), dtype=np.uint8)
    usual = Adaptive().encode_matrices([symbols], alphabet=256)
    monkeypatch.setattr("artpack.coding.adaptive.matrices.ROOM_BYTES", -9)
    assert Adaptive().encode_matrices([symbols], alphabet=256) == usual


def test_what_cannot_be_written_to_is_coded_all_the_same() -> None:
    symbols = drawn(30, 20, row_spread=0.3, col_spread=0.3)
    usual = Adaptive().encode_matrices([symbols], alphabet=127)
    symbols.flags.writeable = False
    assert Adaptive().encode_matrices([symbols], alphabet=127) == usual
    assert Adaptive().encode_matrices([np.asfortranarray(symbols)], alphabet=127) == usual


def test_there_is_no_trellis_of_other_numbers_of_states() -> None:
    with pytest.raises(UsageError, match="no trellis of 5 states"):
        Adaptive(5)


def test_a_pipeline_shows_it_the_shapes() -> None:
    symbols = drawn(128, 96, row_spread=0, col_spread=1)
    pipeline = Pipeline(Rows(), Adaptive(), Stored())
    coded = pipeline.encode([symbols, symbols[:5]], alphabet=127)
    matrices = [symbols, symbols[:5]]
    assert coded.stored == Adaptive().encode_matrices(matrices, alphabet=127)
    decoded = pipeline.decode(coded, shapes=[(128, 96), (5, 96)], alphabet=127)
    assert all(map(np.array_equal, decoded, matrices))


@pytest.mark.parametrize(
    ("states", "digest"),
    [(1, "563126c538c27895"), (8, "85aa4761706b041f"), (256, "145ea972822035a7")],
)
def test_the_stream_is_the_one_of_every_machine(states: int, digest: str) -> None:
    """Symbols made by integers alone, so that nothing but the coder can differ."""
    noise = np.arange(1, 300 * 50 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = np.unpackbits(noise.view(np.uint8).reshape(300, 50, 8), axis=2)
    heights = np.arange(50) % 7 * 8 + 8
    symbols = np.array([bits[:, col, :n].sum(axis=1) for col, n in enumerate(heights)]).T
    matrix = (symbols - heights // 2 + 32).astype(np.uint8)
    coded = Adaptive(states).encode_matrices([matrix[:100], matrix[100:]], alphabet=65)
    assert hashlib.sha256(coded).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("states", "alphabet", "spread"),
    [(1, 2, 0.3), (1, 127, 1.0), (1, 256, 9.0), (4, 15, 0.5), (8, 2, 0.3), (64, 255, 12.0)],
)
def test_a_decoder_written_from_the_document_reads_it(
    states: int, alphabet: int, spread: float
) -> None:
    chance = np.random.default_rng(1)
    matrices = []
    for rows, cols in ((60, 6), (9, 40), (0, 3), (1, 70), (30, 33), (50, 1)):
        scales = spread * np.exp(chance.normal(size=(rows, 1)) + chance.normal(size=cols))
        codes = scales * (chance.normal(size=(rows, cols)) + chance.normal(size=cols))
        codes = (codes.round() + alphabet // 2).clip(0, alphabet - 1)
        matrices.append(codes.astype(np.uint8))
    coded = Adaptive(states).encode_matrices(matrices, alphabet=alphabet)
    shapes = [(len(matrix), matrix.shape[1]) for matrix in matrices]
    decoded = slow_adaptive.decode(coded, shapes, alphabet, states)
    assert decoded == [matrix.tolist() for matrix in matrices]
