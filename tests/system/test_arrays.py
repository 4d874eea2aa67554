"""Arrays of numpy that are read no further than there are bytes."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from artpack.errors import UsageError
from artpack.system.arrays import read_array, read_arrays

VALUES = np.arange(24.0).reshape(2, 3, 4)


def npy(shape: str, dtype: str = "'<f8'", content: bytes = b"") -> bytes:
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize(
    "values", [VALUES, np.asfortranarray(VALUES), np.float32(1), np.zeros((0, 3), ">i2")]
)
def test_arrays_are_those_that_numpy_wrote(values: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", values)
    np.savez_compressed(tmp_path / "a.npz", x=values)

    for found in (read_array(tmp_path / "a.npy"), read_arrays(tmp_path / "a.npz")["x"]):
        assert found.dtype == values.dtype
        assert np.array_equal(found, values)
        assert found.flags.writeable


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (npy(f"({1 << 40},)"), "0 bytes are no float64"),
        (npy("(2,)", content=bytes(24)), "24 bytes are no float64 of the shape"),
        (npy("(-1, -1)", content=bytes(8)), "no array of numbers"),
        (npy("(1,)", dtype="'|O'", content=bytes(8)), "no array of numbers"),
        (npy(f"(0, {1 << 62}, {1 << 62})"), "not a readable .npy array"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "not a readable .npy array"),
        (b"PK\x03\x04 and no more", "not a readable .npy array"),
    ],
)
def test_headers_that_lie(content: bytes, fault: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(content)

    with pytest.raises(UsageError) as caught:
        read_array(tmp_path / "a.npy")
    assert str(caught.value).startswith(f"{tmp_path / 'a.npy'}: {fault}")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, VALUES)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", buffer.getvalue())
        archive.writestr("x.npy", buffer.getvalue())

    with pytest.raises(UsageError, match="two arrays of one name"):
        read_arrays(tmp_path / "a.npz")


def test_an_archive_that_inflates_without_end(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", bytes(1 << 24))

    with pytest.raises(UsageError, match="inflates to more than 1024 times its size"):
        read_arrays(tmp_path / "a.npz")
