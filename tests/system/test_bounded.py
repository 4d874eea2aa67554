"""Files that claim to be longer than they are."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from artpack.system.bounded import open_bounded


def test_a_directory_that_claims_a_gigabyte_gets_no_room(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", b"b")
    content = bytearray(packed.getvalue())
    end = content.index(b"PK\5\6")
    content[end + 12 : end + 16] = (1 << 30).to_bytes(4, "little")  # of its bytes
    (tmp_path / "a.zip").write_bytes(content)

    tracemalloc.start()
    with open_bounded(tmp_path / "a.zip") as file, pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 20


def test_archives_are_read_as_they_are(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"b" * 1000)
    with open_bounded(tmp_path / "a.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.read("a") == b"b" * 1000


def test_what_is_left_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcd")
    with open_bounded(tmp_path / "a") as file:
        assert [file.read(size) for size in (1, 0, 1 << 40, 1, -1)] == [b"a", b"", b"bcd", b"", b""]
        file.seek(1)
        assert file.read() == b"bcd"
