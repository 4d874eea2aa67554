"""The adaptive coder: below order 0 where rows and columns differ, exact, the same everywhere."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artpack.coding.adaptive import decoder, encoder, portable
from artpack.coding.adaptive.arrangement import arrange
from artpack.coding.adaptive.matrices import decode_matrices, encode_matrices
from artpack.coding.adaptive.stream import Points, Stream, split_stream
from artpack.coding.codecs import Stored
from artpack.coding.layouts import Rows
from artpack.coding.pipeline import Pipeline
from artpack.coding.symbol_coders import Adaptive, Rans
from artpack.errors import CorruptError, TruncatedError, UsageError
from artpack.stages.symbols import Symbols
from artpack.stages.trellis import POLYNOMIALS, spacing, taps
from tests.coding.symbol_coders import slow_adaptive
from tests.strategies import parts

STATES = (1, *POLYNOMIALS)
DECODERS = (decoder.decode, portable.decode_plainly)
SHAPES = [(0, 4), (5, 3), (4, 0), (2, 6), (5, 1)]


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
    [(0.0, 0.0, 0.0, 1.006), (0.3, 0.15, 0.0, 0.98), (0.0, 0.7, 0.0, 0.92), (0.0, 0.0, 1.0, 0.91)],
)
def test_it_learns_the_scale_of_rows_and_columns_and_where_columns_lean(
    row_spread: float, col_spread: float, lean: float, share: float
) -> None:
    symbols = drawn(256, 256, row_spread=row_spread, col_spread=col_spread, lean=lean)
    coded = Adaptive().encode_matrices([symbols], alphabet=127)
    assert len(coded) < share * rans_bytes(symbols, 127)


@pytest.mark.parametrize("size", [1, 3, 8, 64, 256, 1024])
@pytest.mark.parametrize("flip", [False, True])
def test_a_few_symbols_take_about_what_static_rans_takes(size: int, *, flip: bool) -> None:
    symbols = drawn(1, size, row_spread=0, col_spread=0)
    coded = Adaptive().encode_matrices([symbols.T if flip else symbols], alphabet=127)
    assert len(coded) <= 1.02 * rans_bytes(symbols, 127) + 1


@settings(deadline=None, max_examples=40)
@given(matrices=st.lists(parts(), max_size=4), spare=st.integers(0, 9), data=st.data())
def test_any_matrices_survive_any_trellis(
    matrices: list[Symbols], spare: int, data: st.DataObject
) -> None:
    states = data.draw(st.sampled_from(STATES))
    largest = max((int(matrix.max(initial=0)) for matrix in matrices), default=0)
    alphabet = min(256, largest + 1 + spare)
    shapes = [(matrix.shape[0], matrix.shape[1]) for matrix in matrices]
    coded = Adaptive(states).encode_matrices(matrices, alphabet=alphabet)
    told: dict[str, Any] = {"shapes": shapes, "alphabet": alphabet, "states": states}
    for decode in DECODERS:
        decoded = decode_matrices(coded, **told, decode=decode)
        assert all(map(np.array_equal, decoded, matrices))
        assert [matrix.shape for matrix in decoded] == shapes
        for size in range(0, len(coded), 1 + len(coded) // 40):
            with pytest.raises(TruncatedError):
                decode_matrices(coded[:size], **told, decode=decode)


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=60), alphabet=st.integers(1, 256), states=st.sampled_from(STATES))
def test_any_bytes_are_refused_by_both_decoders_or_by_neither(
    data: bytes, alphabet: int, states: int
) -> None:
    """Begun like a stream: no escapes, and a state that is large enough."""
    whole = b"\0" + data[:3] + b"\1" + data[3:]
    for stream in (data, whole):
        found = [outcome(stream, alphabet, states, decode) for decode in DECODERS]
        assert found[0] == found[1]


def outcome(
    data: bytes, alphabet: int, states: int, decode: Callable[[Stream], Symbols]
) -> list[list[list[int]]] | None:
    try:
        matrices = decode_matrices(
            data, shapes=SHAPES, alphabet=alphabet, states=states, decode=decode
        )
    except (CorruptError, TruncatedError):
        return None
    return [matrix.tolist() for matrix in matrices]


@settings(deadline=None, max_examples=100)
@given(matrix=parts(), states=st.sampled_from(STATES), data=st.data())
def test_damaged_streams_are_refused_or_those_of_other_symbols(
    matrix: Symbols, states: int, data: st.DataObject
) -> None:
    alphabet = int(matrix.max(initial=0)) + 1
    coded = bytearray(Adaptive(states).encode_matrices([matrix], alphabet=alphabet))
    if not coded:
        return
    coded[data.draw(st.integers(0, len(coded) - 1))] ^= data.draw(st.integers(1, 255))
    arrangement = arrange([(matrix.shape[0], matrix.shape[1])])
    points = Points(alphabet, spacing(states), taps(states))
    try:
        found = decoder.decode(split_stream(bytes(coded), arrangement, points))
    except (CorruptError, TruncatedError) as error:
        with pytest.raises(type(error)):
            portable.decode_plainly(split_stream(bytes(coded), arrangement, points))
        return
    stream = split_stream(bytes(coded), arrangement, points)
    own = [(portable.Decoder(stream).decode_classes() + 128).astype(np.uint8)]
    symbols, prior = found.reshape(matrix.shape), stream.prior
    assert encoder.encode([symbols], arrangement, points, prior=prior, classes=own) == coded


def lowest_class(codes: list[int], cols: int) -> int:
    """Return the least u of docs/FORMAT.md, "Classes"."""
    finest = 3 - sum(cols > limit for limit in (100, 400, 1600))
    trend, found = 0, []
    for i, code in enumerate(codes):
        q = code - 128 + ((trend + 8) >> 4)
        trend = 16 * q if i == 0 else trend + ((16 * q - trend) >> 3)
        found.append(q << finest)
    return min(found)


@settings(deadline=None, max_examples=40)
@given(matrix=parts(), states=st.sampled_from(STATES), data=st.data())
def test_rows_may_be_of_any_class(matrix: Symbols, states: int, data: st.DataObject) -> None:
    arrangement = arrange([(matrix.shape[0], matrix.shape[1])])
    if not matrix.size:
        return
    points = Points(256, spacing(states), taps(states))
    count = int(arrangement.classes[0])
    near = st.lists(st.integers(124, 132), min_size=count, max_size=count)
    classes = [np.array(data.draw(near), np.uint8)]
    coded = encoder.encode([matrix], arrangement, points, classes=classes)
    for decode in DECODERS:
        try:
            found = decode(split_stream(coded, arrangement, points))
        except CorruptError:
            assert lowest_class(classes[0].tolist(), matrix.shape[1]) < -56
            continue
        np.testing.assert_array_equal(found.reshape(matrix.shape), matrix)


def test_symbols_that_take_more_than_a_byte_each_survive() -> None:
    """The longest codes there are: what was never seen, where nothing was expected."""
    matrix = np.full((64, 40), 128, np.uint8)
    matrix[63] = 255
    coded = Adaptive().encode_matrices([matrix[:63], matrix[63:]] * 2, alphabet=256)
    shapes = [(63, 40), (1, 40)] * 2
    decoded = Adaptive().decode_matrices(coded, shapes=shapes, alphabet=256)
    np.testing.assert_array_equal(np.concatenate(decoded), np.concatenate([matrix, matrix]))


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
    [(1, "07c6a0eb5054f7af"), (8, "56f18fd0a9f00598"), (256, "76d4af1da3bcea3c")],
)
def test_the_stream_is_the_one_of_every_machine(states: int, digest: str) -> None:
    """Symbols made by integers alone, so that nothing but the coder can differ."""
    noise = np.arange(1, 300 * 120 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = np.unpackbits(noise.view(np.uint8).reshape(300, 120, 8), axis=2)
    heights = np.arange(120) % 7 * 8 + 8
    symbols = np.array([bits[:, col, :n].sum(axis=1) for col, n in enumerate(heights)]).T
    matrix = (symbols - heights // 2 + 32).astype(np.uint8)
    matrices = [matrix[:100], matrix[100:]]
    told: dict[str, Any] = {"alphabet": 65, "states": states}
    coded = encode_matrices(matrices, **told)
    assert hashlib.sha256(coded).hexdigest()[:16] == digest
    for decode in DECODERS:
        decoded = decode_matrices(coded, shapes=[(100, 120), (200, 120)], **told, decode=decode)
        assert all(map(np.array_equal, decoded, matrices))


@pytest.mark.parametrize("cols", [1, 37, 300, 2500])
def test_many_lanes_retire(cols: int) -> None:
    symbols = drawn(min(90_000 // cols, 3000), cols, row_spread=0.5, col_spread=0.5, lean=0.5)
    coded = encode_matrices([symbols], alphabet=127, states=8)
    for decode in DECODERS:
        told: dict[str, Any] = {
            "shapes": [symbols.shape],
            "alphabet": 127,
            "states": 8,
            "decode": decode,
        }
        np.testing.assert_array_equal(decode_matrices(coded, **told)[0], symbols)
        with pytest.raises(CorruptError, match="left over"):
            decode_matrices(coded + bytes(2), **told)


def test_thousands_of_small_matrices_survive() -> None:
    chance = np.random.default_rng(0)
    shapes = [(1 + m % 5, 1 + m % 3) for m in range(2000)]
    matrices = [chance.integers(0, 9, shape).astype(np.uint8) for shape in shapes]
    coded = encode_matrices(matrices, alphabet=9, states=4)
    for decode in DECODERS:
        decoded = decode_matrices(coded, shapes=shapes, alphabet=9, states=4, decode=decode)
        assert all(map(np.array_equal, decoded, matrices))


def test_one_decoder_needs_numpy_alone() -> None:
    code = "import sys; import artpack.coding.adaptive.portable; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numba", "scipy", "brotli"} & set(done.stdout.split())


def test_zeros_take_next_to_nothing() -> None:
    """Lanes that retire give back words that were never written."""
    zeros = np.full((2000, 100), 63, np.uint8)
    coded = encode_matrices([zeros], alphabet=127, states=1)
    assert len(coded) < 200
    for decode in DECODERS:
        told: dict[str, Any] = {
            "shapes": [zeros.shape],
            "alphabet": 127,
            "states": 1,
            "decode": decode,
        }
        np.testing.assert_array_equal(decode_matrices(coded, **told)[0], zeros)


@pytest.mark.parametrize(
    ("states", "alphabet", "spread"),
    [(1, 2, 0.3), (1, 127, 1.0), (1, 256, 9.0), (4, 15, 0.5), (8, 2, 0.3), (64, 255, 12.0)],
)
def test_a_decoder_written_from_the_document_reads_it(
    states: int, alphabet: int, spread: float
) -> None:
    chance = np.random.default_rng(1)
    matrices = []
    for rows, cols in ((60, 6), (9, 40), (0, 3), (1, 70), (30, 33), (300, 1)):
        scales = spread * np.exp(chance.normal(size=(rows, 1)) + chance.normal(size=cols))
        codes = scales * (chance.normal(size=(rows, cols)) + chance.normal(size=cols))
        codes = (codes.round() + alphabet // 2).clip(0, alphabet - 1)
        matrices.append(codes.astype(np.uint8))
    coded = Adaptive(states).encode_matrices(matrices, alphabet=alphabet)
    shapes = [(len(matrix), matrix.shape[1]) for matrix in matrices]
    decoded = slow_adaptive.decode(coded, shapes, alphabet, states)
    assert decoded == [matrix.tolist() for matrix in matrices]
