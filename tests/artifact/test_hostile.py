"""Files from strangers: one for each lie, and some odd ones that are true."""

import json
import resource
import struct
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
import torch

import artpack
from artpack.artifact.format import MAGIC, PREAMBLE, PREAMBLE_BYTES, checksum
from artpack.artifact.header import _distinct
from artpack.artifact.reader import open_artifact
from artpack.coding.codecs import Brotli
from artpack.errors import (
    ArtifactError,
    CorruptError,
    TruncatedError,
    UnknownStageError,
    VersionError,
)
from artpack.quantize.grids.floats import Fp8
from tests.artifact.forging import (
    Mutation,
    forge,
    put_together,
    sealed,
    small_artifact,
    small_state_dict,
    take_apart,
)

Map = dict[str, Any]


def read(artifact: bytes) -> None:
    """Read everything in an artifact, as ``artpack.load`` does."""
    with open_artifact(artifact) as opened:
        opened.check_trailer()
        opened.load()


def set_tensor(column: str, index: int, value: object) -> Mutation:
    """Change one entry of one column of the tensor table."""

    def mutate(header: Map, streams: list[bytes]) -> None:
        header["tensors"][column][index] = value

    return mutate


def set_stream(column: str, index: int, value: object) -> Mutation:
    """Change one entry of one column of the stream directory."""

    def mutate(header: Map, streams: list[bytes]) -> None:
        header["streams"][column][index] = value

    return mutate


def set_key(key: str, value: object) -> Mutation:
    """Change one key of the header."""

    def mutate(header: Map, streams: list[bytes]) -> None:
        header[key] = value

    return mutate


def add_key(header: Map, streams: list[bytes]) -> None:
    header["extra"] = 1


def drop_streams(header: Map, streams: list[bytes]) -> None:
    del header["streams"]


def rename_quantizer(header: Map, streams: list[bytes]) -> None:
    header["quantizers"][0]["id"] = "row-quantum"


def impossible_quantizer(header: Map, streams: list[bytes]) -> None:
    header["quantizers"][0]["bits"] = 99


def rename_codec(header: Map, streams: list[bytes]) -> None:
    header["pipelines"][0]["codec"]["id"] = "snappy"


def repeat_member(header: Map, streams: list[bytes]) -> None:
    members = header["streams"]["members"]
    members[0] = [*members[0], members[0][0]]


def forget_member(header: Map, streams: list[bytes]) -> None:
    header["streams"]["members"][0] = header["streams"]["members"][0][:-1]


def member_twice(header: Map, streams: list[bytes]) -> None:
    members = header["streams"]["members"][0]
    header["streams"]["members"][0] = [*members[:-1], members[0]]


def overlapping_rows(header: Map, streams: list[bytes]) -> None:
    header["streams"]["members"][0] = [[0, 0, 0, 8], [0, 0, 4, 8], [1, 0]]


def rows_with_gap(header: Map, streams: list[bytes]) -> None:
    header["streams"]["members"][0] = [[0, 0, 0, 4], [0, 0, 5, 7], [1, 0]]


def rows_beyond_end(header: Map, streams: list[bytes]) -> None:
    header["streams"]["members"][0] = [[0, 0, 4, 9], [1, 0]]


def steal_from_next_stream(header: Map, streams: list[bytes]) -> None:
    header["streams"]["stored_bytes"][0] += 1


def swap_streams(header: Map, streams: list[bytes]) -> None:
    streams[0], streams[1] = streams[1], streams[0]
    for column in ("stored_bytes", "coded_bytes"):
        sizes = header["streams"][column]
        sizes[0], sizes[1] = sizes[1], sizes[0]
    digests = header["streams"]["checksums"]
    header["streams"]["checksums"] = digests[8:16] + digests[:8] + digests[16:]


def trailing_bytes_in_stream(header: Map, streams: list[bytes]) -> None:
    replace_stream(header, streams, 0, streams[0] + b"\x01")


def empty_stream(header: Map, streams: list[bytes]) -> None:
    replace_stream(header, streams, 0, b"")


def bomb(header: Map, streams: list[bytes]) -> None:
    """A gigabyte of zeros behind a few bytes, in place of a stream of 384 symbols."""
    header["pipelines"].append(
        {
            "layout": {"id": "rows"},
            "coder": {"id": "bytes"},
            "codec": {"id": "brotli", "quality": 11, "window_log": 24},
        }
    )
    header["streams"]["pipelines"][0] = len(header["pipelines"]) - 1
    replace_stream(header, streams, 0, Brotli().encode(bytes(1 << 26)))
    header["streams"]["coded_bytes"][0] = 384


def replace_stream(header: Map, streams: list[bytes], index: int, stream: bytes) -> None:
    """Put another stream in, with its size and checksum."""
    streams[index] = stream
    header["streams"]["stored_bytes"][index] = len(stream)
    digests = header["streams"]["checksums"]
    at = 8 * index
    header["streams"]["checksums"] = digests[:at] + checksum(stream) + digests[at + 8 :]


def self_tie(header: Map, streams: list[bytes]) -> None:
    header["ties"] = [["a", "a"]]
    header["outputs"] = [*header["tensors"]["names"], "a"]


def bank_of_strangers(header: Map, streams: list[bytes]) -> None:
    header["banks"] = [["bank", ["nobody", "noone"]]]
    header["outputs"] = [*header["tensors"]["names"], "bank"]


def uneven_bank(header: Map, streams: list[bytes]) -> None:
    header["banks"] = [["bank", ["blocks.0.fc.weight", "norm"]]]
    header["outputs"] = ["bank", "blocks.1.fc.weight", "step"]


def bank_inside_itself(header: Map, streams: list[bytes]) -> None:
    header["banks"] = [["blocks.0.fc.weight", ["blocks.0.fc.weight", "blocks.1.fc.weight"]]]
    header["outputs"] = ["blocks.0.fc.weight", "norm", "step"]


def bare_stage(header: Map, streams: list[bytes]) -> None:
    header["pipelines"][0]["coder"] = header["pipelines"][0]["coder"]["id"]


def whole_number_for_k(header: Map, streams: list[bytes]) -> None:
    header["quantizers"][0]["clip"]["k"] = 13


def wordy_member(header: Map, streams: list[bytes]) -> None:
    header["streams"]["members"][0][0] = [0, 0, 0, 12]


def a_million_members(header: Map, streams: list[bytes]) -> None:
    header["streams"]["members"][0] = [[0, 0]] * 1_000_000


def unused_quantizer(header: Map, streams: list[bytes]) -> None:
    header["quantizers"].append({"id": "fp8"})


HUGE = (1 << 62) + 1

LIES: dict[str, tuple[Mutation, type[ArtifactError], str]] = {
    "an unknown key": (add_key, CorruptError, "extra"),
    "a missing key": (drop_streams, CorruptError, "streams"),
    "an unknown quantizer": (rename_quantizer, UnknownStageError, "row-quantum"),
    "an unknown codec": (rename_codec, UnknownStageError, "snappy"),
    "a quantizer of 99 bits": (impossible_quantizer, CorruptError, "99"),
    "a quantizer index out of range": (set_tensor("quantizers", 0, 9), CorruptError, "quantizer"),
    "a negative index": (set_tensor("quantizers", 0, -1), CorruptError, "quantizer"),
    "two tensors of one name": (
        set_tensor("names", 0, "blocks.1.fc.weight"),
        CorruptError,
        "same name",
    ),
    "a name that is a number": (set_tensor("names", 0, 5), CorruptError, "not text"),
    "a huge dimension": (set_tensor("shapes", 0, [HUGE, 1]), CorruptError, "dimension"),
    "a shape whose product overflows": (
        set_tensor("shapes", 0, [1 << 30, 1 << 30]),
        CorruptError,
        "weights",
    ),
    "a hundred dimensions": (set_tensor("shapes", 0, [1] * 100), CorruptError, "100 dimensions"),
    "a shape larger than its streams": (
        set_tensor("shapes", 0, [1 << 20, 1 << 16]),
        CorruptError,
        "limit",
    ),
    "a dtype that is a function": (set_tensor("dtypes", 0, "load"), CorruptError, "dtype"),
    "a dtype that nobody stores": (set_tensor("dtypes", 0, "qint8"), CorruptError, "dtype"),
    "a dtype under its other name": (set_tensor("dtypes", 0, "half"), CorruptError, "dtype"),
    "an integer out of a grid": (set_tensor("dtypes", 0, "int64"), CorruptError, "is no int64"),
    "a dtype that is not the kept one": (set_tensor("dtypes", 3, "int8"), CorruptError, "no int8"),
    "a million members": (a_million_members, CorruptError, "more than"),
    "a stage without its braces": (bare_stage, CorruptError, "more words"),
    "a whole number for a fraction": (whole_number_for_k, CorruptError, "more words"),
    "a member that spells out all rows": (wordy_member, CorruptError, "more words"),
    "a quantizer that nothing uses": (unused_quantizer, CorruptError, "more words"),
    "a boolean for a size": (
        set_stream("stored_bytes", 0, value=True),
        CorruptError,
        "stored_bytes",
    ),
    "a huge stream": (set_stream("stored_bytes", 0, HUGE), CorruptError, "trailer"),
    "a huge coded size": (set_stream("coded_bytes", 0, HUGE), CorruptError, "claims"),
    "a coded size that is not so": (set_stream("coded_bytes", 0, 100), CorruptError, "."),
    "no members": (set_stream("members", 0, []), CorruptError, "members"),
    "a member of three numbers": (
        set_stream("members", 0, [[0, 0, 1]] * 9),
        CorruptError,
        "2 or 4",
    ),
    "a member twice": (repeat_member, CorruptError, "overlap"),
    "a member missing": (forget_member, CorruptError, "members are fewer than parts"),
    "a member in the place of another": (member_twice, CorruptError, "rows of codes"),
    "rows that overlap": (overlapping_rows, CorruptError, "overlap"),
    "rows with a gap": (rows_with_gap, CorruptError, "gap"),
    "rows beyond the end": (rows_beyond_end, CorruptError, "rows of a member"),
    "mixed alphabets": (
        lambda header, _: header["streams"]["members"][0].append([2, 0]),
        CorruptError,
        "alphabet",
    ),
    "a stream that reaches into the next": (steal_from_next_stream, CorruptError, "trailer"),
    "streams in each other's place": (swap_streams, ArtifactError, "."),
    "bytes after a stream's end": (trailing_bytes_in_stream, CorruptError, "."),
    "a stream of nothing": (empty_stream, TruncatedError, "."),
    "a bomb": (bomb, CorruptError, "."),
    "hashes of the wrong length": (
        lambda header, _: header["tensors"].update(hashes=b"short"),
        CorruptError,
        "digests",
    ),
    "a hash of something else": (
        lambda header, _: header["tensors"].update(hashes=bytes(32)),
        CorruptError,
        "hash",
    ),
    "outputs out of nowhere": (set_key("outputs", ["x"]), CorruptError, "outputs"),
    "a tie to itself": (self_tie, CorruptError, "tie"),
    "a bank of tensors that are not there": (bank_of_strangers, CorruptError, "bank"),
    "a bank with a member of its own name": (bank_inside_itself, CorruptError, "bank"),
    "a bank of unlike tensors": (uneven_bank, CorruptError, "stack"),
    "a model that is a list": (set_key("model", [1]), CorruptError, "model"),
    "an empty array one too deep": (
        set_key("provenance", {"a": json.loads("[" * 15 + "]" * 15)}),
        CorruptError,
        "too deep",
    ),
    "provenance with raw bytes": (set_key("provenance", {"a": b"\x00"}), CorruptError, "bytes"),
}


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_named(lie: str) -> None:
    mutate, error, words = LIES[lie]
    with pytest.raises(error, match=words):
        read(forge(mutate))


def test_a_bomb_is_refused_in_bounded_memory() -> None:
    artifact = forge(bomb)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorruptError):
        read(artifact)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # A Brotli window is 16 MiB; the bomb holds 64 MiB.
    assert grown_kib < 32 << 10


def raw_headers() -> dict[str, bytes]:
    """Return headers that are not what the format calls CBOR."""
    plain, _ = take_apart(small_artifact())
    good = cbor2.dumps(plain, canonical=True)
    return {
        "nothing": b"",
        "not a map": cbor2.dumps([1, 2]),
        "cut short": good[:-1],
        "bytes after the end": good + b"\x00",
        "keys out of order": cbor2.dumps(dict(sorted(plain.items(), reverse=True))),
        "an indefinite length": b"\xbf" + good[1:] + b"\xff",
        "a tag": b"\xc1" + good,
        "a regular expression": cbor2.dumps({"a": cbor2.CBORTag(35, "(a+)+$")}, canonical=True),
        "a shared reference": bytes.fromhex("d81c81d81d00"),
        "a huge array": bytes.fromhex("9b7fffffffffffffff00"),
        "a huge text": bytes.fromhex("7b7fffffffffffffff61"),
        "a huge integer": cbor2.dumps({"a": 1 << 100}, canonical=True),
        "deep nesting": b"\x81" * 100_000 + b"\x00",
        "text that is not UTF-8": bytes.fromhex("a161ff00"),
        "a key that is a number": cbor2.dumps({1: 2}, canonical=True),
    }


@pytest.mark.parametrize("what", raw_headers())
def test_every_header_that_is_not_deterministic_cbor_is_refused(what: str) -> None:
    _, streams = take_apart(small_artifact())
    with pytest.raises(CorruptError):
        read(put_together(raw_headers()[what], streams))


def preamble(**fields: int) -> bytes:
    """Return the preamble of a small file less its checksum, some fields changed."""
    own = {"version": 1, "stored": 10, "decoded": 10, "file": 84} | fields
    packed = PREAMBLE.pack(
        MAGIC, own["version"], own["stored"], own["decoded"], own["file"], bytes(8), b""
    )
    return packed[:-8]


FRONTS: dict[str, tuple[bytes, type[ArtifactError], str]] = {
    "a newer version": (preamble(version=2), VersionError, "version 2"),
    "a header of 4 GiB": (preamble(stored=(1 << 32) - 1), CorruptError, "limit"),
    "a header that decodes to 4 GiB": (preamble(decoded=(1 << 32) - 1), CorruptError, "limit"),
    "a file smaller than its header": (preamble(file=50), CorruptError, "cannot hold"),
    "a file of 2**64 bytes": (preamble(file=(1 << 64) - 1), TruncatedError, "bytes of"),
    "a file that says it ends earlier": (preamble(file=85), CorruptError, "follow the end"),
}


@pytest.mark.parametrize("lie", FRONTS)
def test_every_lie_of_the_preamble_is_named(lie: str) -> None:
    front, error, words = FRONTS[lie]
    with pytest.raises(error, match=words):
        read(sealed(front, bytes(20)))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", TruncatedError),
        (b"\x89AR", TruncatedError),
        (b"PK\x03\x04 a zip file", CorruptError),
        (b"\x89ART\n\x1a\n" + bytes(80), CorruptError),
    ],
)
def test_what_is_no_artifact_is_refused(content: bytes, error: type[ArtifactError]) -> None:
    with pytest.raises(error):
        read(content)


def test_every_strict_prefix_is_truncated() -> None:
    artifact = small_artifact()
    for size in range(len(artifact)):
        with pytest.raises(TruncatedError):
            read(artifact[:size])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(CorruptError, match="1 bytes follow"):
        read(small_artifact() + b"\x00")


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_every_flipped_bit_is_found(bit: int) -> None:
    artifact = bytearray(small_artifact())
    for at in range(len(artifact)):
        artifact[at] ^= 1 << bit
        # Bytes 8 and 9 are the version: what they say is taken at their word.
        error = VersionError if at in (8, 9) else CorruptError
        with pytest.raises(error):
            read(bytes(artifact))
        artifact[at] ^= 1 << bit


def test_single_tensors_are_protected_without_the_trailer() -> None:
    """A reader of one tensor does not hash the file, yet finds damage in what it reads."""
    artifact = bytearray(small_artifact())
    with open_artifact(bytes(artifact)) as opened:
        first = PREAMBLE_BYTES + opened.preamble.header_stored_bytes
    artifact[first] ^= 1
    with open_artifact(bytes(artifact)) as opened, pytest.raises(CorruptError, match="stream 0"):
        opened["blocks.0.fc.weight"]


def test_an_odd_but_true_file_is_accepted() -> None:
    """A member cut into rows for no reason: unusual, and fine."""

    def cut(header: Map, streams: list[bytes]) -> None:
        members = header["streams"]["members"]
        index = next(i for i, m in enumerate(members) if m == [[0, 0], [1, 0]])
        members[index] = [[0, 0, 0, 5], [0, 0, 5, 7], [1, 0]]

    with open_artifact(forge(cut)) as odd, open_artifact(small_artifact()) as plain:
        for name in small_state_dict():
            np.testing.assert_array_equal(odd[name], plain[name])


def test_the_limit_on_decoded_bytes_can_be_lowered() -> None:
    with pytest.raises(CorruptError, match="limit is 100"):
        open_artifact(small_artifact(), max_decoded_bytes=100)


def test_a_small_file_may_not_decode_to_much_unless_it_is_trusted(tmp_path: Path) -> None:
    path = tmp_path / "zeros.artpack"
    artpack.save({"zeros": torch.zeros(70 << 20, dtype=torch.uint8)}, path, profile="fast")
    with pytest.raises(CorruptError, match="raise the limit"):
        artpack.load(path)
    assert not artpack.load(path, max_decoded_bytes=1 << 27)["zeros"].any()


@pytest.mark.parametrize("what", ["ties", "banks"])
def test_a_header_full_of_outputs_is_read_in_no_time(what: str) -> None:
    """The checks take time in proportion to the header, so this test ends."""

    def fill(header: Map, streams: list[bytes]) -> None:
        names = header["tensors"]["names"]
        many = [f"output {i}" for i in range(20_000)]
        if what == "ties":
            header["ties"] = [[name, names[0]] for name in many]
            header["outputs"] = [*names, *many]
        else:
            header["banks"] = [[name, [names[0]]] for name in many]
            header["outputs"] = [*names[1:], *many]

    if what == "ties":
        with open_artifact(forge(fill)) as opened:
            assert len(opened) == 20_004
    else:
        with pytest.raises(CorruptError, match="tie or a bank"):
            read(forge(fill))


def test_sides_are_paid_for_in_bytes() -> None:
    """A size that takes long to work out is not, before its bytes are seen to be there."""

    def claim(header: Map, streams: list[bytes]) -> None:
        count = 200_000
        header["tensors"] = {
            "names": [f"t{i}" for i in range(count // 10)],
            "shapes": [[3000 + i % 10_000, 0] for i in range(count // 10)],
            "dtypes": ["float32"] * (count // 10),
            "quantizers": [0] * (count // 10),
            "hashes": bytes(8 * (count // 10)),
        }
        header["quantizers"] = [{"id": "fp8"}]
        pipeline = {"layout": "similar-rows", "coder": "bytes", "codec": "stored"}
        header["pipelines"] = [{stage: {"id": name} for stage, name in pipeline.items()}]
        header["streams"] = {
            "pipelines": [0],
            "stored_bytes": [0],
            "coded_bytes": [0],
            "checksums": checksum(b""),
            "members": [[[i, 0] for i in range(count // 10)]],
        }
        streams[:] = [b""]

    with pytest.raises(ArtifactError):
        read(forge(claim))


def test_many_quantizers_are_told_apart_by_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing each with all those before it would take minutes for a header of 8 MiB."""
    compared = []

    def equal(self: Fp8, other: object) -> bool:
        compared.append(other)
        return self is other

    stages = [Fp8() for _ in range(200)]
    monkeypatch.setattr(Fp8, "__eq__", equal)
    monkeypatch.setattr(Fp8, "__hash__", object.__hash__)
    assert list(_distinct(stages).values()) == list(range(200))
    assert len(compared) < 200


def test_a_struct_of_the_format_has_the_size_that_the_format_says() -> None:
    assert struct.calcsize("<8sHIIQ8s8s") == PREAMBLE_BYTES == 42


def test_ties_count_as_what_they_are_written_out_as() -> None:
    def tie(header: dict[str, Any], _: list[bytes]) -> None:
        names = [f"t{i}" for i in range(800)]
        header["ties"] = [[name, "blocks.0.fc.weight"] for name in names]
        header["outputs"] = [*header["tensors"]["names"], *names]

    forged = forge(tie)
    with open_artifact(forged) as artifact:
        sizes = [
            sum(part.rows * part.cols for part in tensor.parts)
            for tensor in artifact.header.plan.tensors
        ]
    total, tied = sum(sizes), 800 * sizes[0]
    open_artifact(forged, max_decoded_bytes=total + tied).close()
    with pytest.raises(CorruptError, match=f"files decode to {total + tied} bytes"):
        open_artifact(forged, max_decoded_bytes=total + tied - 1)
