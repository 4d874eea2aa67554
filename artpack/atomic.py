"""Writing a file whole or not at all."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_atomically(path: Path, chunks: Iterable[bytes]) -> int:
    """
    Write a file so that its old content is replaced at once or not at all.

    The bytes go to a temporary file beside the target, which is flushed to the
    disk and then renamed over it. A process killed on the way leaves the old
    file as it was, and at worst the temporary one, ``.NAME.*.tmp``.

    Args:
        path: The target; its folder must exist.
        chunks: The content.

    Returns:
        The number of bytes written.

    Raises:
        OSError: The folder cannot be written to; nothing is left behind.

    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        error.filename = str(path)  # the name that was asked for; nobody knows the temporary one
        raise
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            written = sum(file.write(chunk) for chunk in chunks)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_new_file_mode())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return written


def _new_file_mode() -> int:
    # mkstemp makes private files; the result should be as readable as any new file.
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    # The rename itself is only durable once the folder is on the disk.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
