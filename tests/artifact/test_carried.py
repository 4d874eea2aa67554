"""Small files inside an artifact: given back, counted, and checked before they are trusted."""

from pathlib import Path

import cbor2
import pytest
import torch

import artpack
from artpack.artifact.carried import MAX_FILES, find_name_fault, pack_files, unpack_files
from artpack.artifact.describe import describe
from artpack.artifact.format import TRAILER_BYTES, checksum
from artpack.artifact.reader import open_artifact
from artpack.artifact.verify import verify
from artpack.errors import (
    ArtifactError,
    CorruptError,
    TruncatedError,
    UnknownStageError,
    UsageError,
)
from tests.artifact.forging import put_together, small_state_dict, take_apart

FILES = {
    "config.json": b'{"model_type": "llama"}' * 20,
    "empty": b"",
    "pooling/config.json": bytes(range(256)),
}


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "a.artpack"
    artpack.save(small_state_dict(), path, profile="fast", files=FILES)
    return path


def forged(content: bytes, field: str, value: object) -> bytes:
    """Return the artifact with another value in the header's field of files."""
    header, streams = take_apart(content)
    files = header["files"]
    stored = content[len(content) - TRAILER_BYTES - files["stored_bytes"] : -TRAILER_BYTES]
    if field == "":
        header["files"] = value
    else:
        files[field] = value
    return put_together(cbor2.dumps(header, canonical=True), [*streams, stored])


def test_files_are_given_back_to_the_byte(artifact: Path) -> None:
    with artpack.open(artifact) as opened:
        assert opened.files == FILES
        assert list(opened) == list(small_state_dict())


def test_an_artifact_without_files_has_no_field_for_them(tmp_path: Path) -> None:
    plain, none = tmp_path / "a.artpack", tmp_path / "b.artpack"
    artpack.save(small_state_dict(), plain, profile="fast")
    artpack.save(small_state_dict(), none, profile="fast", files={})
    assert plain.read_bytes() == none.read_bytes()
    header, _ = take_apart(plain.read_bytes())
    assert "files" not in header
    with artpack.open(plain) as opened:
        assert opened.files == {}
        assert "files" not in opened.inspect().overhead


def test_the_order_in_which_files_are_given_does_not_matter(tmp_path: Path) -> None:
    paths = [tmp_path / "a.artpack", tmp_path / "b.artpack"]
    for path, files in zip(paths, [FILES, dict(reversed(FILES.items()))], strict=True):
        artpack.save(small_state_dict(), path, profile="fast", files=files)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_files_are_counted(artifact: Path) -> None:
    with artpack.open(artifact) as opened:
        description = describe(opened)
        record = opened.header.files
    assert record is not None
    assert description.overhead["files"] == record.stored_bytes < sum(map(len, FILES.values()))
    assert description.files == {name: len(content) for name, content in FILES.items()}
    tensors = sum(row.stored_bytes for row in description.tensors)
    assert tensors + sum(description.overhead.values()) == artifact.stat().st_size


def test_the_result_in_memory_describes_them(tmp_path: Path) -> None:
    result = artpack.compress(small_state_dict(), profile="fast", recipe="int6", files=FILES)
    assert result.description.files["empty"] == 0
    assert len(result.content()) == result.size_bytes


def test_a_description_of_tied_weights_counts_what_the_ties_decode_to() -> None:
    weight = torch.ones(64, 64)
    result = artpack.compress({"a": weight, "b": weight}, profile="fast", recipe="int6")
    assert result.description.weights == 64 * 64


def test_damage_is_told_apart_from_the_tensors(artifact: Path) -> None:
    content = bytearray(artifact.read_bytes())
    content[-TRAILER_BYTES - 1] ^= 1
    artifact.write_bytes(content)
    with open_artifact(artifact) as opened:
        opened.load()
        with pytest.raises(CorruptError, match="the carried files' checksum does not match"):
            _ = opened.files
    assert [fault.partition(":")[0] for fault in verify(artifact).faults] == ["CorruptError"] * 2


def test_a_file_without_its_last_bytes_is_truncated(artifact: Path) -> None:
    artifact.write_bytes(artifact.read_bytes()[: -TRAILER_BYTES - 4])
    with pytest.raises(TruncatedError):
        open_artifact(artifact)


LIES: list[tuple[str, object, type[ArtifactError], str]] = [
    ("", 7, CorruptError, "files is not a map"),
    ("", {}, CorruptError, "missing or unknown keys"),
    ("names", [], CorruptError, "there are none"),
    ("names", 3, CorruptError, "not an array"),
    ("names", [1, 2, 3], CorruptError, "not text"),
    ("names", ["a", "b"], CorruptError, "2 expected"),
    ("names", ["b", "a", "c"], CorruptError, "not in the order"),
    ("names", ["a", "a", "c"], CorruptError, "taken by another file"),
    ("names", ["A", "a", "c"], CorruptError, "taken by another file"),
    ("names", ["a", "a/b", "c"], CorruptError, "'a/b' is taken"),
    ("sizes", [1, 2, -3], CorruptError, "size of a file is not an integer"),
    ("sizes", [1, 2, True], CorruptError, "size of a file is not an integer"),
    ("sizes", [1, 2, 1 << 62], CorruptError, "the limit is"),
    ("sizes", [460, 0, 255], CorruptError, "brotli"),
    ("sizes", [0, 0, 0], CorruptError, "brotli"),
    ("codec", {"id": "snappy"}, UnknownStageError, "snappy"),
    ("codec", {"id": "brotli", "quality": 99, "window_log": 24}, CorruptError, "quality"),
    ("codec", 5, CorruptError, "codec of the files is impossible"),
    ("stored_bytes", 1 << 40, CorruptError, "not at the trailer"),
    ("stored_bytes", "9", CorruptError, "not an integer"),
    ("checksum", b"1234567", CorruptError, "digests"),
    ("checksum", bytes(8), CorruptError, "checksum does not match"),
    ("hash", bytes(8), CorruptError, "do not match their hash"),
]


@pytest.mark.parametrize(("field", "value", "error", "match"), LIES)
def test_lies_are_refused(
    artifact: Path, field: str, value: object, error: type[ArtifactError], match: str
) -> None:
    content = forged(artifact.read_bytes(), field, value)
    with pytest.raises(error, match=match), open_artifact(content) as opened:
        _ = opened.files


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../config.json",
        "a/../b",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "C:a",
        "a\0b",
        "a\nb",
        "\x7f",
        "con?",
        "a.",
        "a ",
        " a",
        "a/b/c/d/e",
        "x" * 256,
        "ü" * 128,
        "\ud800",
    ],
)
def test_names_that_are_no_plain_paths_are_refused(name: str) -> None:
    assert "no plain relative path" in str(find_name_fault((name,)))
    with pytest.raises(UsageError, match="`files`: the file name"):
        pack_files({name: b""})


@pytest.mark.parametrize("name", ["a", ".hidden", "a b", "ü" * 127, "a/b/c/d", "1_Pooling/x.json"])
def test_plain_names_are_taken(name: str) -> None:
    packed = pack_files({name: b"content"})
    assert packed is not None
    assert unpack_files(packed.record, packed.stored) == {name: b"content"}


def test_there_is_a_limit_to_the_number_of_files() -> None:
    files = {f"{i:04}": b"" for i in range(MAX_FILES + 1)}
    with pytest.raises(UsageError, match="4097 files, the limit is 4096"):
        pack_files(files)


def test_files_beyond_the_limit_are_not_decoded(artifact: Path) -> None:
    with artpack.open(artifact) as opened:
        needed = opened.header.decoded_bytes
    artpack.open(artifact, max_decoded_bytes=needed).close()
    with pytest.raises(CorruptError, match="files decode to"):
        artpack.open(artifact, max_decoded_bytes=needed - 1)


def test_the_checksum_is_that_of_the_stored_bytes() -> None:
    packed = pack_files(FILES)
    assert packed is not None
    assert packed.record.checksum == checksum(packed.stored)
    assert packed.record.hash == checksum(b"".join(FILES.values()))


def test_a_file_may_hold_any_bytes(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randint(256, (9999,), dtype=torch.uint8, generator=generator)
    content = noise.numpy().tobytes()
    artpack.save({"w": torch.ones(2)}, tmp_path / "a", profile="fast", files={"noise": content})
    with artpack.open(tmp_path / "a") as opened:
        assert opened.files == {"noise": content}
