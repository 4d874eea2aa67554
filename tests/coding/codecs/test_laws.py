"""What every codec promises, tested through the table."""

import json
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artpack.coding.codecs import CODECS, Brotli, Lrzip, Lzma, Stored, Zpaq, Zstd
from artpack.errors import ArtifactError, CorruptError, UsageError
from artpack.stages import Codec, stage_from_json, stage_to_json

LRZIP = pytest.param(
    Lrzip(),
    id="lrzip",
    marks=pytest.mark.skipif(
        not (shutil.which("lrzip") and shutil.which("prlimit")),
        reason="the program lrzip or prlimit is missing",
    ),
)

# Those that take microseconds, not tens of milliseconds, whatever the size.
QUICK = [
    Stored(),
    Zstd(),
    Zstd(level=1, window_log=10),
    Brotli(),
    Brotli(quality=0, window_log=10),
    Lzma(),
    Lzma(lc=0, lp=4, pb=0),
    Zpaq(),
]
ALL = [*QUICK, Zpaq("general"), LRZIP]
COMPRESSING = [Zstd(), Brotli(), Lzma(), Zpaq(), Zpaq("general"), LRZIP]

every_codec = pytest.mark.parametrize("codec", ALL, ids=repr)
quick_codec = pytest.mark.parametrize("codec", QUICK, ids=repr)
compressing_codec = pytest.mark.parametrize("codec", COMPRESSING, ids=repr)


def symbols(count: int) -> bytes:
    """Return int6 symbols such as a quantized weight matrix has."""
    normal = np.random.default_rng(count).standard_normal(count)
    return bytes(np.clip(np.round(normal * 2.4) + 31, 0, 62).astype(np.uint8))


SAMPLES = {
    "nothing": b"",
    "one zero byte": b"\0",
    "zeros": bytes(300),
    "symbols": symbols(40),
    "all bytes": bytes(range(256)),
}
every_sample = pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)


def test_every_codec_of_the_table_is_tested() -> None:
    tested = {type(codec) for codec in QUICK} | {Lrzip}
    assert tested == set(CODECS.values())


@every_codec
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 63, 64, 65, 255, 256, 257, 4097])
def test_what_is_decoded_is_what_was_encoded(codec: Codec, size: int) -> None:
    for data in (bytes(size), symbols(size), np.random.default_rng(0).bytes(size)):
        assert codec.decode(codec.encode(data), size=size) == data


@every_codec
@pytest.mark.parametrize("size", [65_536, 131_073])
def test_many_symbols_come_back_from_fewer_bytes(codec: Codec, size: int) -> None:
    data = symbols(size)
    encoded = codec.encode(data)
    assert codec.decode(encoded, size=size) == data
    assert len(encoded) < size // 2 or codec == Stored() or codec.config().get("quality") == 0


@quick_codec
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=2000))
def test_any_bytes_come_back(codec: Codec, data: bytes) -> None:
    assert codec.decode(codec.encode(data), size=len(data)) == data


@every_codec
@every_sample
def test_every_strict_prefix_is_rejected(codec: Codec, data: bytes) -> None:
    encoded = codec.encode(data)
    for length in range(len(encoded)):
        with pytest.raises(ArtifactError):
            codec.decode(encoded[:length], size=len(data))


@every_codec
@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\0", b"\0\0\0\0\xfe\xff", b"\xff" * 9])
@every_sample
def test_what_follows_the_stream_is_rejected(codec: Codec, data: bytes, tail: bytes) -> None:
    with pytest.raises(CorruptError):
        codec.decode(codec.encode(data) + tail, size=len(data))


@every_codec
def test_a_second_stream_after_the_first_is_rejected(codec: Codec) -> None:
    encoded = codec.encode(b"weights")
    with pytest.raises(CorruptError):
        codec.decode(encoded + encoded, size=7)


@every_codec
@every_sample
def test_another_size_than_was_encoded_is_rejected(codec: Codec, data: bytes) -> None:
    encoded = codec.encode(data)
    for size in {0, len(data) // 2, len(data) - 1, len(data) + 1, 3 * len(data) + 1}:
        if size >= 0 and size != len(data):
            with pytest.raises(ArtifactError):
                codec.decode(encoded, size=size)


@every_codec
def test_a_flipped_bit_is_an_artifact_error_or_yields_the_right_size(codec: Codec) -> None:
    data = symbols(40)
    encoded = codec.encode(data)
    for bit in range(0, 8 * len(encoded), 3):
        flipped = bytearray(encoded)
        flipped[bit // 8] ^= 1 << bit % 8
        with suppress(ArtifactError):
            assert len(codec.decode(bytes(flipped), size=len(data))) == len(data)


@quick_codec
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), size=st.integers(0, 10_000))
def test_any_bytes_are_an_artifact_error_or_yield_the_right_size(
    codec: Codec, data: bytes, size: int
) -> None:
    with suppress(ArtifactError):
        assert len(codec.decode(data, size=size)) == size


@compressing_codec
def test_a_bomb_is_stopped_early(codec: Codec) -> None:
    bomb = codec.encode(bytes(1 << 22))
    assert len(bomb) < 4000
    tracemalloc.start()
    try:
        with pytest.raises(CorruptError):
            codec.decode(bomb, size=1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@every_codec
def test_the_same_data_give_the_same_bytes_on_any_thread(codec: Codec) -> None:
    data = symbols(200_000)
    with ThreadPoolExecutor(3) as pool:
        encoded = set(pool.map(codec.encode, [data] * 3))
    assert encoded == {codec.encode(data)}


@every_codec
def test_the_configuration_survives_json(codec: Codec) -> None:
    assert stage_from_json(CODECS, json.loads(json.dumps(stage_to_json(codec)))) == codec


@pytest.mark.parametrize(
    ("stage_id", "field", "value"),
    [
        ("zstd", "level", 0),
        ("zstd", "level", 23),
        ("zstd", "window_log", 9),
        ("zstd", "window_log", 28),
        ("brotli", "quality", -1),
        ("brotli", "quality", 12),
        ("brotli", "window_log", 9),
        ("brotli", "window_log", 25),
        ("lzma", "lc", 5),
        ("lzma", "lp", 2),  # with lc = 3
        ("lzma", "pb", -1),
        ("zpaq", "model", "symbol"),
        ("lrzip", "level", 0),
        ("lrzip", "level", 10),
    ],
)
def test_a_field_out_of_range_is_named(stage_id: str, field: str, value: int | str) -> None:
    with pytest.raises(UsageError, match=f"{stage_id}: .*{field}"):
        CODECS[stage_id].from_config({field: value})
