"""
Atomic writes: a file is written whole or not at all.

Everything that artpack writes goes through here.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME_CHARACTERS = 60
"""Of a file's name, in the name of its temporary one: no file system is too narrow for that."""


def write_atomically(path: Path, chunks: Iterable[bytes]) -> int:
    """
    Write a file so that its old content is replaced at once or not at all.

    The bytes go to a temporary file beside the target, which is flushed to the
    disk and then renamed over it. A process killed on the way leaves the old
    file as it was, and at worst the temporary one, ``.NAME.*.tmp``. A file that
    was there keeps its mode, and its owner where that is allowed. Symbolic links
    are followed. What is no regular file (a FIFO, a device, standard output) is
    not replaced but written to.

    Args:
        path: The target; its folder must exist.
        chunks: The content.

    Returns:
        The number of bytes written.

    Raises:
        OSError: The file cannot be written, and is named; nothing is left behind.

    """
    with _named(path):
        before = _checked_status(path)
        if before is None or (stat.S_ISREG(before.st_mode) and _descriptor(path) is None):
            return _replace(Path(os.path.realpath(path)), before, chunks)
        return _write_into(path, chunks)


def check_writable(path: Path) -> None:
    """
    Check before long work that a file can be written.

    Args:
        path: What :func:`write_atomically` is to be given.

    Raises:
        OSError: It could not be written, and is named.

    """
    with _named(path):
        before = _checked_status(path)
        if before is None or (stat.S_ISREG(before.st_mode) and _descriptor(path) is None):
            handle, temporary = _create_beside(Path(os.path.realpath(path)), 0o600)
            os.close(handle)
            temporary.unlink()


def check_folder(path: Path) -> None:
    """
    Check before long work that files can be written into a folder, which may have to be made.

    Args:
        path: The folder.

    Raises:
        OSError: It is something else, or cannot be made or written to.

    """
    with _named(path):
        there = Path(os.path.realpath(path))
        while not there.exists():
            there = there.parent
        handle, temporary = _create_beside(there / "folder", 0o600)
        os.close(handle)
        temporary.unlink()


def is_for_folder(path: Path) -> bool:
    """
    Tell names of folders from those of files.

    Args:
        path: Any name.

    Returns:
        Whether it has no ending, or one that begins with no letter, and is no file.

    >>> [is_for_folder(Path(name)) for name in ("x.pt", "Qwen2.5-0.5B", "x", "x.bin")]
    [False, True, True, False]

    """
    return not path.suffix[1:2].isalpha() and (path.is_dir() or not path.exists())


def check_new_folder(path: Path) -> None:
    """
    Check before long work that :func:`new_folder` can make a folder.

    Args:
        path: The folder.

    Raises:
        OSError: It holds something, is something else, or cannot be made.

    """
    check_folder(path)
    with _named(path):
        if path.exists() and any(path.iterdir()):
            raise _error(errno.ENOTEMPTY)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """
    Make a folder with all that is written into it, or not at all.

    Args:
        path: The folder; it must be missing or empty, and those above it are made.

    Yields:
        A temporary folder beside it, ``.NAME.*.tmp``, which takes its place at the end.

    Raises:
        OSError: The folder cannot be made, and is named; nothing is left behind.

    """
    check_new_folder(path)
    target = Path(os.path.realpath(path))
    name = f".{target.name[:_NAME_CHARACTERS]}.{secrets.token_hex(8)}.tmp"
    temporary = target.with_name(name)
    with _named(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            temporary.replace(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync_folder(target.parent)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let errors name the file that was asked for; nobody knows the temporary one."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def _checked_status(path: Path) -> os.stat_result | None:
    """Return what is there now, links followed; None if there is nothing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise _error(errno.EISDIR)
    if stat.S_ISSOCK(status.st_mode):
        raise _error(errno.ENXIO)
    if not os.access(path, os.W_OK):
        raise _error(errno.EACCES)
    return status


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _descriptor(path: Path) -> int | None:
    """Return which descriptor of this process a name such as ``/dev/stdout`` stands for."""
    own = {os.path.realpath("/proc/self/fd"), os.path.realpath("/dev/fd")}
    while path.is_symlink():
        if os.path.realpath(path.parent) in own and path.name.isdecimal():
            return int(path.name)
        path = path.parent / path.readlink()
    return None


def _write_into(path: Path, chunks: Iterable[bytes]) -> int:
    own = _descriptor(path)
    handle = os.open(path, os.O_WRONLY) if own is None else os.dup(own)
    with os.fdopen(handle, "wb") as file:
        return sum(file.write(chunk) for chunk in chunks)


def _replace(target: Path, before: os.stat_result | None, chunks: Iterable[bytes]) -> int:
    # A new file gets the mode of any new file, an old one keeps its own and is never wider.
    handle, temporary = _create_beside(target, 0o666 if before is None else 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            written = sum(file.write(chunk) for chunk in chunks)
            file.flush()
            if before is not None:
                _take_over(handle, before)
            os.fsync(handle)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)
    return written


def _create_beside(target: Path, mode: int) -> tuple[int, Path]:
    name = f".{target.name[:_NAME_CHARACTERS]}.{secrets.token_hex(8)}.tmp"
    temporary = target.with_name(name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.open(temporary, flags, mode), temporary


def _take_over(handle: int, before: os.stat_result) -> None:
    with suppress(PermissionError):  # only root gives files away
        os.fchown(handle, before.st_uid, before.st_gid)
    os.fchmod(handle, stat.S_IMODE(before.st_mode))


def _sync_folder(folder: Path) -> None:
    # The rename itself is only durable once the folder is on the disk. It has happened, though:
    # folders that cannot be read, or that a file system does not flush, are no error any more.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
