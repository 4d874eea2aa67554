"""Containers that lie: one lie each, one clear line for it."""

import copy
import io
import lzma
import shutil
import struct
import zlib
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import brotli
import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.coding.codecs import Brotli, Lrzip
from artpack.errors import ArtifactError, CorruptError, TruncatedError, UsageError
from artpack.interop import read_container, write_container
from artpack.interop.archive import read_archive, write_archive
from artpack.interop.pr1934 import per_group
from artpack.interop.pr1934.shuffle import shuffle
from artpack.interop.pr2086 import per_stream
from artpack.interop.wrapping import Allowance, encode_xz, encode_zstd, unwrap
from tests.interop.containers import NAMES, make, needs_lrzip

pytestmark = pytest.mark.usefixtures("quick_xz")

ZEROS = bytes(8 << 20)


@cache
def written(name: str) -> bytes:
    """Return a sound container."""
    return write_container(make(name), name)


def message_of(data: bytes, *, max_bytes: int | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_container(data, max_bytes=max_bytes)
    message = str(caught.value)
    assert "\n" not in message
    return message


def edited(name: str, change: Callable[[Any], object], *, outer: bool = False) -> bytes:
    """Return a container whose archive was changed after it was written."""
    data = written(name)
    if name == "per-stream":
        metadata, bodies = per_stream.split(data)
        content = read_archive(lzma.decompress(metadata))
        change(bodies if outer else content)
        return _per_stream(encode_xz(write_archive(content), preset=0), bodies)
    if name == "pergroup":
        streams = per_group.split(data)
        content = read_archive(brotli.decompress(streams[7]))
        change(streams if outer else content)
        if not outer:
            streams[7] = Brotli().encode(write_archive(content))
        return _per_group(streams)
    content = copy.deepcopy(_saved(name))
    change(content)
    return WRAP[name](write_archive(content))


@cache
def _saved(name: str) -> Any:
    return read_archive(unwrap(written(name), Allowance(1 << 30)))


WRAP: dict[str, Callable[[bytes], bytes]] = {
    "rans": bytes,
    "torch-zstd": encode_zstd,
    "torch-lzma": partial(encode_xz, preset=0),
    "payload-zstd": encode_zstd,
    "payload-zlib": zlib.compress,
    "byte-shuffle": lambda raw: brotli.compress(shuffle(raw), quality=1),
    "byte-shuffle-xz": lambda raw: encode_xz(shuffle(raw), preset=0),
}


def _per_stream(metadata: bytes, bodies: list[tuple[int, bytes]]) -> bytes:
    front = b"\x03" + struct.pack("<I", len(metadata)) + metadata + struct.pack("<I", len(bodies))
    return front + b"".join(struct.pack("<BI", m, len(body)) + body for m, body in bodies)


def _per_group(streams: list[bytes]) -> bytes:
    lengths = struct.pack(f"<{1 + len(streams)}I", len(streams), *map(len, streams))
    return b"PGRP" + lengths + b"".join(streams)


def put(*path: Any) -> Callable[[Any], None]:
    """Return a change that sets, or with ``...`` deletes, what lies under some keys."""
    *keys, last, value = path

    def change(content: Any) -> None:
        for key in keys:
            content = content[key]
        if value is ...:
            del content[last]
        else:
            content[last] = value(content[last]) if callable(value) else value

    return change


def first_nonzero(value: int) -> Callable[[Tensor], Tensor]:
    """Return a change of a tensor's first element."""

    def change(tensor: Tensor) -> Tensor:
        tensor.view(-1)[0] = value
        return tensor

    return change


FC, EMB, PROJ = "blocks.0.mlp.fc.weight", "tok_emb.weight", "blocks.0.mlp.proj.weight"
QKV, ODD = "blocks.0.attn.c_qkv.weight", "blocks.0.odd.weight"
LONG = (0, 1 << 31, 1 << 31)
"""Of no elements, and more than numpy has numbers for."""

LIES: list[tuple[str, Callable[[Any], object], str]] = [
    ("torch-zstd", put("w", FC + ".scale", ...), "the container has no 'blocks.0.mlp.fc.weight.sc"),
    ("torch-zstd", put("w", "more", torch.ones(1)), "unknown entry 'more'"),
    ("torch-zstd", put("m", FC, {"type": "int9"}), "unknown meta {'type': 'int9'}"),
    ("torch-zstd", put("m", FC, {"type": ["int8"]}), "unknown meta"),
    ("torch-zstd", put("m", FC, 7), "unknown meta 7"),
    ("torch-zstd", put("m", 3), "m is not a dict"),
    ("torch-zstd", put("w", FC + ".q", lambda q: q.float()), "is torch.float32, not torch.int8"),
    ("torch-zstd", put("w", FC + ".q", lambda q: q.new_empty(LONG)), "a dimension of 2147483648"),
    ("torch-lzma", put("payload", EMB, torch.ones(3)), "'tok_emb.weight' is there twice"),
    ("torch-zstd", put("w", FC + ".q", first_nonzero(-128)), "a code is outside of -127 to 127"),
    ("torch-zstd", put("w", FC + ".scale", lambda s: s[1:].clone()), "23 scales for 24 rows"),
    ("torch-zstd", put("w", FC + ".scale", lambda s: s.float()), "float32, not torch.float16"),
    ("torch-zstd", put("w", "steps", [1, 2]), "'steps' is not a tensor"),
    ("torch-lzma", put("payload", [1]), "payload is not a dict"),
    (
        "torch-lzma",
        put("payload", FC.replace("blocks", "upper_blocks") + ".scale", ...),
        "is not a",
    ),
    ("byte-shuffle", put("m", FC, "gptq (int9)"), "unknown meta 'gptq (int9)'"),
    ("byte-shuffle", put("m", FC, 1), "its meta is no text"),
    ("byte-shuffle", put("w", FC + ".lqA_a", first_nonzero(2)), "a code outside of -2 to 1"),
    ("byte-shuffle", put("w", FC + ".lqA_a", lambda a: a[1:].clone()), "do not fit a matrix of 24"),
    ("byte-shuffle", put("w", FC + ".lqA_a", lambda a: a.view(-1)), "have the rank 0"),
    ("byte-shuffle", put("w", FC + ".lqBs_a", lambda s: s[:3].clone()), "have 3 scales for 32"),
    ("rans", put("__format__", "hybrid_rans_v2"), "not a container of the format"),
    ("rans", put("rans_alphas", EMB, 5), "do not have the same names"),
    ("rans", put("rans_alphas", "blocks.5.attn.c_q.weight", 33), "an alphabet of 33"),
    ("rans", put("rans_alphas", "blocks.5.attn.c_q.weight", 64), "32 counts, an alphabet of 64"),
    ("rans", put("rans_counts", "blocks.5.attn.c_q.weight", first_nonzero(0)), "not positive"),
    ("rans", put("rans_shapes", "blocks.5.attn.c_q.weight", [16, 301]), "before its 4816 symbols"),
    ("rans", put("rans_shapes", "blocks.5.attn.c_q.weight", [16, 299]), "bytes follow the 4784"),
    ("rans", put("rans_shapes", "blocks.5.attn.c_q.weight", [15, 300]), "16 scales for a matrix"),
    ("rans", put("rans_shapes", "blocks.5.attn.c_q.weight", [1 << 30, 1 << 30]), "more than the"),
    ("rans", put("rans_data", "blocks.5.attn.c_q.weight", lambda d: d[:3].clone()), "has no state"),
    ("per-stream", put(FC, "type", "ternary"), "unknown type 'ternary'"),
    ("per-stream", put(FC, "more", 1), "has an unknown entry 'more'"),
    ("per-stream", put(FC, "n_quins", 5), "there must be 576 codes"),
    ("per-stream", put(FC, "padded_cols", 20), "do not agree"),
    ("per-stream", put(FC, "orig_shape", [24, 24]), "do not agree"),
    ("per-stream", put(FC, "group_size", 0), "do not agree"),
    ("per-stream", put(FC, "shape", [1 << 40, 1 << 40]), "more than the limit"),
    ("per-stream", put(FC, "packed", "layout", 9), "the unknown layout 9"),
    ("per-stream", put(FC, "packed", "_v2", "v3"), "no reference to a payload"),
    ("per-stream", put(FC, "packed", "idx", 0), "payload 0 is missing, or used before"),
    ("per-stream", put(FC, "packed", "idx", -1), "not a whole number"),
    ("per-stream", put(FC, "packed", "rows", 23), "base5|planes"),
    ("per-stream", put(FC, "packed", "cols", 20), "does not have 24 columns"),
    ("per-stream", put(FC, "packed", "meta", {"n_quins": 1}), "what is noted beside a payload"),
    ("per-stream", put(FC, "scale_n_groups", 71), "71 scales for 72 groups"),
    ("per-stream", put(FC, "scale_bits", 6), "scales of 6 bits"),
    ("per-stream", put(FC, "scale_delta", first_nonzero(32)), "has more than 5 bits"),
    ("per-stream", put(FC, "scale_delta", lambda d: d[1:].clone()), "71 bytes of scales for 72"),
    ("per-stream", put(PROJ, "scale_delta", lambda d: d[1:].clone()), "7 bytes of scales for 15"),
    ("per-stream", put(ODD, "scale_delta", lambda d: d.view(torch.uint8)), "scale_delta is uint8"),
    ("per-stream", put(QKV, "packed", lambda p: (p[0], p[1][:2])), "the payloads hold 24 rows"),
    ("per-stream", put(QKV, "packed", lambda p: (p[0], [])), "this is no reference|not a dict"),
    ("per-stream", put(EMB, "data", "layout", 1), "the payload is no tensor"),
    ("per-stream", put(EMB, ...), "payload 14 belongs to no tensor"),
]


@pytest.mark.parametrize(("name", "change", "complaint"), LIES)
def test_a_lie_is_named(name: str, change: Callable[[Any], object], complaint: str) -> None:
    with pytest.raises(ArtifactError, match=complaint.replace("(", r"\(").replace(")", r"\)")):
        read_container(edited(name, change))


GROUP_LIES: list[tuple[bool, Callable[[Any], object], str]] = [
    (False, put("s", "attn.c_q.weight.q", 0, (17, 16)), "has the shapes"),
    (False, put("s", "attn.c_q.weight.q", lambda s: s[:1]), "has the shapes"),
    (False, put("s", "attn.c_q.weight.q", 2, (LONG[1] - 1, 0)), "no order of 2147483647 rows"),
    (False, put("s", "attn.c_q.weight.q", 5), "the shapes of a group are no list"),
    (False, put("s", "more", []), "the list of shapes has an unknown entry 'more'"),
    (False, put("m", "blocks.0.attn.c_q.weight", ...), "has 3 matrices, the meta name 2"),
    (False, put("r", ...), "must have the keys m, r and s"),
    (True, put(2, b""), "has the shapes"),
    (True, put(8, b""), ""),
    (True, put(8, Brotli().encode(bytes(2 * 1000))), "no order of 40 rows"),
    (True, put(8, lambda s: Brotli().encode(brotli.decompress(s) + b"\0\0")), "1 numbers follow"),
    (True, put(8, lambda s: Brotli().encode(brotli.decompress(s)[:-1])), "cut within a number"),
]


@needs_lrzip
@pytest.mark.parametrize(("outer", "change", "complaint"), GROUP_LIES)
def test_a_lie_about_groups_is_named(
    outer: bool,  # noqa: FBT001
    change: Callable[[Any], object],
    complaint: str,
) -> None:
    data = edited("pergroup", change, outer=outer)
    if not complaint:  # no orders at all is no lie: the rows are in their own
        assert read_container(data).format == "pergroup"
        return
    with pytest.raises(CorruptError, match=complaint):
        read_container(data)


@needs_lrzip
def test_an_lrzip_archive_that_claims_too_much_is_refused_before_it_is_decoded() -> None:
    huge = b"LRZI\0\6" + struct.pack("<Q", 1 << 50) + bytes(30)
    message = message_of(edited("pergroup", put(2, huge), outer=True))
    assert message.startswith("lrzip decodes to more than")


@pytest.mark.parametrize(
    "compress",
    [encode_zstd, lzma.compress, zlib.compress, Brotli().encode],
    ids=["zstd", "xz", "zlib", "brotli"],
)
def test_a_bomb_is_stopped_and_what_follows_a_stream_is_refused(
    compress: Callable[[bytes], bytes],
) -> None:
    bomb = compress(ZEROS)
    assert len(bomb) < 1 << 15
    assert "decodes to more than 1000000 bytes, the limit" in message_of(bomb, max_bytes=1_000_000)
    raw = write_archive({"payload": {}})
    assert read_container(compress(raw)).tensors == ()
    assert read_container(compress(shuffle(raw))).tensors == ()
    assert message_of(compress(raw) + b"\0")
    with pytest.raises(TruncatedError):
        read_container(compress(raw)[:-3])


def test_an_xz_stream_that_wants_much_memory_is_refused() -> None:
    greedy = lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28}])
    assert message_of(greedy) == "xz: memory usage limit exceeded"


@pytest.mark.parametrize("name", NAMES)
def test_every_truncated_container_is_refused(name: str) -> None:
    data = written(name)
    sizes = {*range(64), *range(len(data) - 64, len(data)), *range(0, len(data), 997)}
    for size in sizes:
        with pytest.raises(ArtifactError):
            read_container(data[:size])


@pytest.mark.parametrize("name", NAMES)
def test_nothing_follows_a_container(name: str) -> None:
    assert message_of(written(name) + b"\0" * 8)


def test_a_nan_among_the_scales_is_named_with_its_tensor() -> None:
    data = edited("torch-zstd", put("w", FC + ".scale", first_nonzero(0)))
    assert read_container(data).weights()[FC][0].abs().max() == 0
    scales = torch.full((24,), float("nan"), dtype=torch.float16)
    container = read_container(edited("torch-zstd", put("w", FC + ".scale", scales)))
    with pytest.raises(CorruptError, match=r"^tensor 'blocks.0.mlp.fc.weight': scale 0 is nan"):
        container.weights()


def test_what_is_no_container_is_said_to_be_none() -> None:
    assert "is no known format" in message_of(write_archive({"model": {}}))
    assert message_of(b"") == "the file is empty"
    assert message_of(b"hello").startswith("no container of a known format, or damaged: brotli")
    with pytest.raises(UsageError, match="an artpack artifact already"):
        read_container(b"\x89ART\r\n\x1a\n" + bytes(100))


def test_payloads_of_an_unknown_method_are_refused() -> None:
    data = edited("per-stream", put(0, lambda pair: (2, pair[1])), outer=True)
    assert message_of(data) == "per-stream: payload 0 has the unknown method 2"


def test_rows_filled_up_with_anything_but_zeros_are_refused() -> None:
    def change(bodies: list[tuple[int, bytes]]) -> None:
        codes = np.zeros((24, 24), np.uint8)
        raw = per_stream_layout(codes)
        bodies[3] = (per_stream.XZ, lzma.compress(raw))

    def describe(content: Any) -> None:
        content[FC]["packed"] |= {"layout": 1, "meta": {"n_quins": 576}}

    data = edited("per-stream", describe)
    metadata, bodies = per_stream.split(data)
    change(bodies)
    assert "fill up the last group are not zero" in message_of(_per_stream(metadata, bodies))


def per_stream_layout(codes: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    return bytes(codes.size // 3)


def test_without_the_program_lrzip_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies = [(per_stream.LRZIP, b"LRZI\0\6" + struct.pack("<Q", 4) + bytes(40))]
    data = _per_stream(encode_xz(write_archive({}), preset=0), bodies)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="is missing: install the Debian package"):
        read_container(data)
    with pytest.raises(UsageError, match="is missing: install the Debian package"):
        write_container(make("pergroup"), "pergroup")
    # The exporter of this one does without the program, and so do we.
    assert read_container(write_container(make("per-stream"), "per-stream")).tensors


@needs_lrzip
def test_lrzip_bodies_are_read() -> None:
    raw = io.BytesIO()
    torch.save(torch.zeros(2, 2, dtype=torch.float16), raw)
    entry = {"type": "fp16", "data": {"_v2": "__BULK_REF_V2__", "idx": 0, "layout": 0}}
    metadata = encode_xz(write_archive({"a": entry}), preset=0)
    data = _per_stream(metadata, [(per_stream.LRZIP, Lrzip(1).encode(raw.getvalue()))])
    assert torch.equal(read_container(data).weights()["a"], torch.zeros(2, 2, dtype=torch.bfloat16))


def _set(field: str, value: object) -> Callable[[Any], object]:
    """Put a value into every five-level entry, or into its reference to a payload."""

    def change(content: Any) -> None:
        for entry in content.values():
            if entry["type"] == "quinary":
                inner = entry["packed"] if isinstance(entry["packed"], dict) else entry
                (entry if field in entry else inner)[field] = value

    return change


STRANGE: tuple[object, ...] = (
    torch.ones(2),
    torch.zeros(1).expand(1 << 33),
    [torch.ones(2)],
    {"n_quins": torch.ones(2), "n_total": torch.ones(2), "n_nonzero": torch.ones(2)},
    1.0,
    True,
    None,
)
FIELDS = (
    *("n_quins", "shape", "orig_shape", "padded_cols", "group_size", "packed", "scale_bits"),
    *("scale_n_groups", "scale_delta", "scale_anchor", "cols", "rows", "meta", "layout", "_v2"),
)


@pytest.mark.parametrize("field", FIELDS)
def test_odd_values_are_told_by_type_before_they_are_compared(field: str) -> None:
    assert message_of(edited("per-stream", _set(field, torch.ones(2))))


@pytest.mark.parametrize("value", STRANGE[1:4])
def test_an_odd_number_of_codes_is_told_by_type(value: object) -> None:
    assert message_of(edited("per-stream", _set("n_quins", value)))


@pytest.mark.parametrize("name", ["torch-zstd", "byte-shuffle"])
@pytest.mark.parametrize("value", [*STRANGE[:2], {"type": torch.ones(2)}, {"type": ["int6"]}])
def test_odd_meta_are_told_by_type(name: str, value: object) -> None:
    def change(content: Any) -> None:
        content["m"][next(iter(content["m"]))] = value

    assert message_of(edited(name, change))


@pytest.mark.parametrize("value", STRANGE[:3])
def test_the_format_of_rans_is_text(value: object) -> None:
    assert message_of(edited("rans", lambda content: content.update(__format__=value)))


def test_one_tensor_under_very_many_names_is_refused() -> None:
    large = torch.zeros(1 << 20, dtype=torch.float16)
    payload = {f"w{i}": large for i in range(100)}
    assert "says the same so often" in message_of(WRAP["torch-lzma"](write_archive(payload)))


def test_lists_of_one_list_are_refused() -> None:
    value: list[object] = [1] * 100
    for _ in range(8):
        value = [value] * 100
    with pytest.raises(CorruptError, match="says the same so often"):
        read_archive(write_archive({"a": value}))
    value[0] = value
    with pytest.raises(CorruptError, match="says the same so often"):
        read_archive(write_archive({"a": value}))
