"""
Files of strangers, opened so that no room is made for more bytes than they have.

Python's own files allocate all the bytes they are asked for, few as there are; and libraries
ask for as many as a file claims, zipfile for its directory, pickletools for a text.
"""

import io
import os
from pathlib import Path


class _Bounded(io.BufferedReader):
    """A file that is asked for no more than it has left."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read so many bytes, or all that are left for None or less than 0."""
        if size is None or size < 0:
            return super().read()
        left = os.fstat(self.fileno()).st_size - self.tell()
        return super().read(max(0, min(size, left)))


def open_bounded(path: Path) -> io.BufferedReader:
    """
    Open a file for reading.

    Args:
        path: The file.

    Returns:
        The file at its beginning, to be closed.

    Raises:
        OSError: It cannot be read.

    """
    return _Bounded(io.FileIO(path))
