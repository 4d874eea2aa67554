"""Archives of torch.save that lie: one lie each, refused before torch sees it."""

import io
import os
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from artpack.errors import ArtifactError, CorruptError
from artpack.interop.archive import read_archive, write_archive
from artpack.interop.fields import as_count, as_dict, as_shape, as_tensor
from artpack.interop.pickled import storage_sizes

CONTENT = {"a": torch.arange(4, dtype=torch.int8), "b": torch.ones(3)}
Change = Callable[[str, bytes], bytes | None]


class Calls:
    """Unpickling this without care calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def changed(change: Change, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive with its records changed; None leaves one out."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(write_archive(CONTENT))) as old,
        zipfile.ZipFile(target, "w", compression) as new,
    ):
        for name in old.namelist():
            if (content := change(name, old.read(name))) is not None:
                new.writestr(name, content)
    return target.getvalue()


def pickled(old: bytes, new: bytes) -> bytes:
    """Return an archive with some bytes of its pickle replaced."""

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("data.pkl"):
            return content
        assert old in content
        return content.replace(old, new, 1)

    return changed(change)


def without(name: str) -> bytes:
    """Return an archive that lacks a record."""
    return changed(lambda own, content: None if own.endswith(name) else content)


def message_of(data: bytes) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_archive(data)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_archive_that_somebody_else_zipped_is_read() -> None:
    again = read_archive(changed(lambda _, content: content))
    assert torch.equal(again["a"], CONTENT["a"])


def test_code_is_named_and_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    data = write_archive({"a": Calls(os.system, f"touch {trace}")})
    assert "wants posix system, and only tensors are loaded" in message_of(data)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("bomb", "complaint"),
    [
        (Calls(bytearray, 10**15), "wants __builtin__ bytearray"),
        (Calls(torch.Tensor, 10**12), "wants torch Tensor"),
        (Calls(torch.UntypedStorage, 10**12), "a storage's type where no storage is"),
        (Calls(OrderedDict, [1]), "torch cannot load the archive"),
    ],
)
def test_a_call_that_torch_allows_and_tensors_do_not_need_is_refused(
    bomb: Calls, complaint: str
) -> None:
    assert complaint in message_of(write_archive({"a": bomb}))


@pytest.mark.parametrize("protocol", [3, 4])
def test_only_the_opcodes_of_torch_save_are_read(protocol: int) -> None:
    buffer = io.BytesIO()
    torch.save({"a": b"bytes"}, buffer, pickle_protocol=protocol)
    assert "has the opcode" in message_of(buffer.getvalue())


def test_a_storage_that_claims_more_bytes_than_it_has_is_refused() -> None:
    lie = pickled(b"K\x04tq", b"J" + struct.pack("<i", 1 << 30) + b"tq")
    assert message_of(lie) == "record 'data/0' has 4 bytes, the pickle claims 1073741824"


def test_a_storage_that_claims_fewer_bytes_than_it_has_is_refused() -> None:
    assert "has 4 bytes, the pickle claims 3" in message_of(pickled(b"K\x04tq", b"K\x03tq"))


def test_a_negative_storage_is_refused() -> None:
    lie = pickled(b"K\x04tq", b"J" + struct.pack("<i", -4) + b"tq")
    assert "a storage of an unknown kind" in message_of(lie)


def test_a_storage_of_an_unknown_type_is_refused() -> None:
    assert "wants torch CudaStorage" in message_of(pickled(b"torch\nCharS", b"torch\nCudaS"))


def test_one_record_claimed_in_two_sizes_is_refused() -> None:
    assert "is claimed with 4 and 12 bytes" in message_of(
        pickled(b"X\x01\0\0\x001", b"X\x01\0\0\x000")
    )


def test_a_missing_and_an_unasked_record_are_refused() -> None:
    assert "has None bytes" in message_of(without("data/1"))
    target = io.BytesIO(changed(lambda _, content: content))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("archive/data/7", b"hidden")
    assert "the pickle claims None" in message_of(target.getvalue())


def test_compressed_records_are_refused_before_they_are_inflated() -> None:
    data = changed(lambda _, content: content + bytes(1 << 20), zipfile.ZIP_DEFLATED)
    assert len(data) < 1 << 16
    assert "compressed or encrypted record" in message_of(data)


def test_records_that_overlap_are_refused() -> None:
    data = bytearray(changed(lambda _, content: content))
    at = data.rindex(b"PK\x01\x02archive/data/0"[:4])
    struct.pack_into("<II", data, at + 20, 1 << 20, 1 << 20)
    assert message_of(bytes(data)) == "the archive's records overlap"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_records_of_one_name_are_refused() -> None:
    target = io.BytesIO(changed(lambda _, content: content))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("archive/data/0", b"1234")
    assert "two records of one name" in message_of(target.getvalue())


def test_other_byte_orders_and_other_files_are_refused() -> None:
    swapped = changed(lambda name, content: b"big" if name.endswith("byteorder") else content)
    assert "big-endian" in message_of(swapped)
    assert message_of(b"PNG") == "not an archive of torch.save"


@pytest.mark.parametrize("junk", [b"", b"\x80\x02", b"\x80\x02}.}", b"\x80\x02Q.", b"\xff"])
def test_junk_is_no_pickle(junk: bytes) -> None:
    with pytest.raises(CorruptError):
        storage_sizes(junk)


def test_every_truncated_archive_is_refused() -> None:
    data = write_archive(CONTENT)
    for size in range(len(data)):
        with pytest.raises(ArtifactError):
            read_archive(data[:size])


def test_a_few_bytes_that_pretend_to_be_many_are_no_tensor() -> None:
    data = write_archive({"a": torch.zeros(1).expand(10**9)})
    with pytest.raises(CorruptError, match="a is not a contiguous tensor"):
        as_tensor(read_archive(data)["a"], "a")


@pytest.mark.parametrize(
    "value",
    [1, None, torch.zeros(2).to_sparse(), torch.zeros(2, 3).T, torch.zeros(4, dtype=torch.int8)],
)
def test_what_is_no_plain_tensor_of_the_type_is_refused(value: object) -> None:
    with pytest.raises(CorruptError, match=r"^x is "):
        as_tensor(value, "x", torch.float32)


def test_fields_have_their_types() -> None:
    for call in (
        lambda: as_dict([], "x"),
        lambda: as_dict({1: 2}, "x"),
        lambda: as_count(True, "x"),  # noqa: FBT003 - a bool is no count
        lambda: as_count(-1, "x"),
        lambda: as_count(9, "x", most=8),
        lambda: as_shape("ab", "x"),
        lambda: as_shape([1] * 9, "x"),
        lambda: as_shape([1 << 20, 1 << 30], "x"),
    ):
        with pytest.raises(CorruptError, match=r"^x "):
            call()
