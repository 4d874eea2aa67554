"""Nobody's program runs but ours, and ours knows when to stop."""

import numpy as np
import pytest
import zpaq
from hypothesis import given, settings
from hypothesis import strategies as st

from artpack.coding.codecs import Zpaq
from artpack.coding.codecs import zpaq as codec_module
from artpack.errors import CorruptError, UsageError

DATA = bytes(range(60)) * 5

every_model = pytest.mark.parametrize("model", list(codec_module._MODELS))


def with_second_program(model: str) -> bytes:
    """Return DATA coded by a model of ours, with a program of libzpaq's for the output."""
    method = codec_module._MODELS[model].method.replace("x8,0", "x8,4", 1)
    block: bytes = zpaq.compress(DATA, method=method, threads=1, hints=False)
    start = block.index(b"300\0\0") + 5
    return block[start : -len(codec_module._BLOCK_END)]


def guarded_block(model: str, coded: bytes, *, size: int) -> bytes:
    program = codec_module._MODELS[model].program
    if size:
        program += codec_module._guard(size)
    start = codec_module._block_start(program + codec_module._HALT_END)
    return start + coded + codec_module._BLOCK_END


@every_model
def test_a_stream_that_carries_a_program_is_refused_before_the_program_runs(model: str) -> None:
    coded = with_second_program(model)
    with pytest.raises(zpaq.Error, match="opcode"):
        zpaq.decompress(guarded_block(model, coded, size=1 << 20), threads=1)


def test_without_the_guard_that_program_would_run() -> None:
    coded = with_second_program("symbols")
    assert zpaq.decompress(guarded_block("symbols", coded, size=0), threads=1) == DATA


@every_model
def test_decode_refuses_a_stream_that_carries_a_program(model: str) -> None:
    with pytest.raises(CorruptError, match="opcode"):
        Zpaq(model).decode(with_second_program(model), size=len(DATA))


@every_model
@pytest.mark.parametrize("size", [1, 255, 256, 299])
def test_the_guard_stops_one_byte_after_the_last(model: str, size: int) -> None:
    coded = Zpaq(model).encode(DATA)
    assert zpaq.decompress(guarded_block(model, coded, size=300), threads=1) == DATA
    with pytest.raises(zpaq.Error, match="opcode"):
        zpaq.decompress(guarded_block(model, coded, size=size), threads=1)


@pytest.mark.parametrize("size", [65_535, 65_536, 70_000])
def test_the_guard_counts_past_two_bytes(size: int) -> None:
    data = np.random.default_rng(0).bytes(size)
    encoded = Zpaq().encode(data)
    assert Zpaq().decode(encoded, size=size) == data
    with pytest.raises(CorruptError, match="opcode"):
        Zpaq().decode(encoded, size=size - 1)


@every_model
def test_a_second_block_behind_the_first_is_refused(model: str) -> None:
    smuggled = Zpaq(model).encode(DATA) + codec_module._BLOCK_END + zpaq.compress(b"\0" * 300)
    with pytest.raises(CorruptError, match="end mark inside"):
        Zpaq(model).decode(smuggled, size=len(DATA))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300) | st.integers(0, 3000).map(bytes))
def test_coded_data_never_contain_the_end_mark(data: bytes) -> None:
    assert bytes(4) not in Zpaq().encode(data)


def test_what_was_stored_once_is_read_forever() -> None:
    golden = {
        "symbols": "ff5103a9423ae8fa2ae8402bea",
        "general": "ff4e517b80aba446db77f0a9d64ec9",
    }
    for model, stored in golden.items():
        assert Zpaq(model).decode(bytes.fromhex(stored), size=13) == b"hello, hello!"


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=3000))
def test_the_general_model_takes_any_data(data: bytes) -> None:
    """Its first coded byte is not always the same, as it once was taken to be."""
    assert Zpaq("general").decode(Zpaq("general").encode(data), size=len(data)) == data


def test_columns_of_different_scale_cost_less_than_their_entropy_of_order_0() -> None:
    rng = np.random.default_rng(0)
    scales = np.repeat(rng.uniform(0.5, 4, 64), 1024)
    column_major = np.clip(np.round(rng.standard_normal(scales.size) * scales) + 31, 0, 62)
    shares = np.unique(column_major, return_counts=True)[1] / column_major.size
    order_0_bytes = -(shares * np.log2(shares)).sum() * column_major.size / 8
    assert len(Zpaq().encode(bytes(column_major.astype(np.uint8)))) < 0.95 * order_0_bytes


def test_a_module_that_writes_other_programs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = bytearray(zpaq.compress(DATA, level=3, threads=1))
    monkeypatch.setattr(zpaq, "compress", lambda *_args, **_fields: bytes(changed))
    with pytest.raises(UsageError, match=r"install zpaq 0\.3\.7"):
        Zpaq().encode(DATA)


def test_more_than_a_block_holds_is_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_module, "_MAX_BYTES", 299)
    with pytest.raises(UsageError, match="at most 299 bytes, got 300"):
        Zpaq().encode(DATA)
    with pytest.raises(CorruptError, match="at most 299 bytes"):
        Zpaq().decode(b"", size=300)
