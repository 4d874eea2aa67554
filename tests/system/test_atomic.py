"""Writing whole or not at all, and never over what is no file."""

import errno
import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from artpack.system import atomic
from artpack.system.atomic import check_folder, check_writable, write_atomically

FULL = Path("/dev/full")


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_content_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    assert write_atomically(path, [b"ne", b"w!"]) == 4
    assert path.read_bytes() == b"new!"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_on_the_way_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def chunks() -> Iterator[bytes]:
        yield b"half of it"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, chunks())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_as_readable_as_any_new_one(tmp_path: Path, narrow_umask: None) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, [b"x"])
    assert _mode(path) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o660, 0o755])
def test_a_file_that_was_there_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_atomically(path, [b"new"])
    assert (_mode(path), path.read_bytes()) == (mode, b"new")


def test_a_file_that_was_there_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    owner = (os.geteuid(), os.getegid()) if os.geteuid() else (12345, 23456)  # root gives away
    os.chown(path, *owner)
    write_atomically(path, [b"new"])
    assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_content_is_never_wider_open_than_the_file_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(0o600)
    modes: list[int] = []

    def chunks() -> Iterator[bytes]:
        modes.extend(_mode(temporary) for temporary in tmp_path.glob(".*.tmp"))
        yield b"new"

    write_atomically(path, chunks())
    assert modes == [0o600]


@pytest.mark.parametrize("there", [True, False])
def test_symbolic_links_are_followed(tmp_path: Path, *, there: bool) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    target = folder / "a.bin"
    if there:
        target.write_bytes(b"old")
    (tmp_path / "near").symlink_to("real/a.bin")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "near")
    check_writable(link)
    write_atomically(link, [b"new"])
    assert link.is_symlink()
    assert (tmp_path / "near").is_symlink()
    assert not target.is_symlink()
    assert target.read_bytes() == b"new"
    assert list(folder.iterdir()) == [target]


def test_a_fifo_is_written_to(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    check_writable(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    assert write_atomically(fifo, [b"a", b"bc"]) == 3
    reader.join()
    assert read == [b"abc"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert list(tmp_path.iterdir()) == [fifo]


def test_a_device_is_written_to_and_an_error_names_it() -> None:
    check_writable(FULL)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(FULL, [b"x"])
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")
    assert stat.S_ISCHR(FULL.stat().st_mode)


WRITE_EACH = """
import runpy, sys
from pathlib import Path
atomic = runpy.run_path(sys.argv[1])  # the package would import torch
for name in sys.argv[2:]:
    atomic["check_writable"](Path(name))
    atomic["write_atomically"](Path(name), [name.encode()])
print("!")
"""
OWN = ("/dev/stdout", "/proc/self/fd/1", "/dev/fd/1")


def test_standard_output_is_written_to(tmp_path: Path) -> None:
    """A pipe, or a file that the shell opened and goes on writing to."""
    command = [sys.executable, "-c", WRITE_EACH, str(atomic.__file__), *OWN]
    expected = "".join(OWN).encode() + b"!\n"
    assert subprocess.run(command, capture_output=True, check=True).stdout == expected
    path = tmp_path / "out"
    with path.open("wb") as file:
        subprocess.run(command, stdout=file, check=True)
    assert path.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    path = tmp_path / "no" / "a.bin"
    for write in (check_writable, lambda path: write_atomically(path, [b"x"])):
        with pytest.raises(FileNotFoundError) as caught:
            write(path)
        assert caught.value.filename == str(path)


def test_what_cannot_be_written_is_found_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    cases = {
        "": errno.EISDIR,
        "file/a.bin": errno.ENOTDIR,
        "loop": errno.ELOOP,
        "socket": errno.ENXIO,
        "n" * 300: errno.ENAMETOOLONG,
    }
    before = set(tmp_path.iterdir())
    for name, code in cases.items():
        for write in (check_writable, lambda path: write_atomically(path, [b"x"])):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
                write(tmp_path / name)
            assert (caught.value.errno, caught.value.filename) == (code, str(tmp_path / name))
    assert set(tmp_path.iterdir()) == before


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("\N{LATIN SMALL LETTER A WITH DIAERESIS}" * 127)
    write_atomically(path, [b"x"])
    assert list(tmp_path.iterdir()) == [path]


def test_checking_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    check_writable(path)
    path.write_bytes(b"old")
    check_writable(path)
    check_folder(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"
    with pytest.raises(NotADirectoryError) as caught:
        check_folder(path / "folder")
    assert caught.value.filename == str(path / "folder")


def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_atomically(path, [bytes(1 << 20)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """Give a folder that is closed to whoever runs the test; root is nobody for a while."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "closed").write_bytes(b"old")
    (tmp_path / "open" / "closed").chmod(0o444)
    tmp_path.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        for folder in tmp_path.parents:
            if folder == Path(tempfile.gettempdir()):
                break
            folder.chmod(0o755)
        os.setresuid(65534, 65534, 0)
    yield tmp_path
    if root:
        os.setresuid(0, 0, 0)
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("name", ["new", "open/closed"])
def test_where_one_may_not_write_is_found_before(closed: Path, name: str) -> None:
    """A folder that is closed, and a file that is closed in an open folder."""
    for write in (check_writable, lambda path: write_atomically(path, [b"x"])):
        with pytest.raises(PermissionError) as caught:
            write(closed / name)
        assert caught.value.filename == str(closed / name)


def test_a_folder_that_cannot_be_made_is_found_before(closed: Path) -> None:
    check_folder(closed / "open" / "new" / "folder")
    with pytest.raises(PermissionError) as caught:
        check_folder(closed / "new" / "folder")
    assert caught.value.filename == str(closed / "new" / "folder")
