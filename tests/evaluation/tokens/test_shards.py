"""Token shards say what they hold, and every lie in them is told from the truth."""

import struct
from pathlib import Path

import numpy as np
import pytest

from artpack.errors import UsageError
from artpack.evaluation.tokens.shards import (
    find_shards,
    read_shard,
    read_sidecar,
    read_tokens,
    write_shard,
)

IDS = np.array([1, 5, 700, 65535], np.uint16)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "val_000.bin"
    write_shard(path, IDS)
    return path


def patch(path: Path, word: int, value: int) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, 4 * word, value)
    path.write_bytes(data)


def test_a_shard_has_the_published_layout(shard: Path) -> None:
    data = shard.read_bytes()
    assert struct.unpack_from("<256i", data) == (20240520, 1, 4, *[0] * 253)
    assert struct.unpack_from("<4H", data, 1024) == (1, 5, 700, 65535)
    assert len(data) == 1032


def test_a_shard_reads_back(shard: Path) -> None:
    assert read_shard(shard).tolist() == IDS.tolist()


@pytest.mark.parametrize(("word", "name"), [(0, "magic"), (1, "version"), (2, "header counts")])
def test_a_header_that_lies_is_refused(shard: Path, word: int, name: str) -> None:
    patch(shard, word, 7)
    with pytest.raises(UsageError, match=name):
        read_shard(shard)


def test_a_negative_count_is_refused(shard: Path) -> None:
    patch(shard, 2, -1)
    with pytest.raises(UsageError, match="counts -1 tokens"):
        read_shard(shard)


@pytest.mark.parametrize("size", [0, 3, 1023, 1024, 1031, 1033])
def test_a_file_of_another_size_is_refused(shard: Path, size: int) -> None:
    shard.write_bytes(shard.read_bytes().ljust(size, b"x")[:size])
    with pytest.raises(UsageError, match="bytes"):
        read_shard(shard)


def test_an_id_beyond_the_vocabulary_is_refused_with_its_place(shard: Path) -> None:
    with pytest.raises(UsageError, match="token 2 is id 700, beyond the vocabulary of 700"):
        read_shard(shard, vocab_size=700)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such token file"):
        read_shard(tmp_path / "none.bin")
    with pytest.raises(UsageError, match="no token file matches"):
        find_shards(str(tmp_path / "*.bin"))


def test_a_shard_cannot_hold_what_does_not_fit_16_bits(tmp_path: Path) -> None:
    for ids in (np.array([65536]), np.array([-1]), np.zeros((2, 2), np.int64)):
        with pytest.raises(UsageError, match="from 0 to 65535"):
            write_shard(tmp_path / "x.bin", ids)


def test_shards_are_read_in_the_order_of_their_names_without_sidecars(tmp_path: Path) -> None:
    for name, value in (("val_1", 2), ("val_0", 1), ("val_bytes_0", 9), ("val_bytes_1", 8)):
        write_shard(tmp_path / f"{name}.bin", np.array([value]))
    assert read_tokens(str(tmp_path / "val_*.bin")).tolist() == [1, 2]
    assert read_sidecar(str(tmp_path / "val_*.bin"), count=2).tolist() == [9, 8]


def test_a_sidecar_of_another_length_is_refused(shard: Path) -> None:
    with pytest.raises(UsageError, match="4 entries for 5 tokens"):
        read_sidecar(str(shard), count=5)


def test_npy_tokens_are_read(tmp_path: Path) -> None:
    path = tmp_path / "val.npy"
    np.save(path, np.array([3, 70000], np.int64))
    assert read_tokens(str(path)).tolist() == [3, 70000]
    with pytest.raises(UsageError, match="beyond the vocabulary"):
        read_tokens(str(path), vocab_size=100)


@pytest.mark.parametrize(
    "bad", [np.zeros(3), np.zeros((2, 2), np.int32), np.array([-1]), np.array([{}], object)]
)
def test_npy_arrays_that_are_no_tokens_are_refused(tmp_path: Path, bad: np.ndarray) -> None:
    path = tmp_path / "val.npy"
    np.save(path, bad, allow_pickle=True)
    with pytest.raises(UsageError, match=r"val\.npy"):
        read_tokens(str(path))


def npy(header: bytes, version: bytes = b"\x01\x00") -> bytes:
    size = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + header + bytes(8)


def shaped(shape: str) -> bytes:
    return npy(f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({shape},), }}\n".encode())


@pytest.mark.parametrize(
    "content",
    [
        *(shaped(shape) for shape in (str(1 << 40), "5", "3", "-1", "9" * 5000, "'a'", "2, 2")),
        npy(b"{'descr': '<u2\xff\xe9', 'fortran_order': False, 'shape': (4,), }\n"),
        npy(b"\xff\xfe\xe9\n", version=b"\x03\x00"),
        npy(b"(" * 5000),
        npy(b"''" + b"'\n"),
        npy(b"", version=b"\x09\x09"),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        b"\x93NUMPY",
        b"",
        b"PK\x03\x04",
    ],
)
def test_npy_headers_are_not_believed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "val.npy"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"val\.npy: ") as caught:
        read_tokens(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i8", ">i4", "u1"])
def test_npy_tokens_of_either_byte_order_are_read(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "val.npy", np.array([3, 200], dtype))
    assert read_tokens(str(tmp_path / "val.npy")).tolist() == [3, 200]


def test_npy_without_tokens_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "val.npy", np.array([], np.uint16))
    assert read_tokens(str(tmp_path / "val.npy")).size == 0
