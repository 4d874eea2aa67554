"""Files that a command has written, as the disk says it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import artpack

Stamp = tuple[int, int, int]
"""Tells one content of a file from another: its number, size and time."""


class Outputs:
    """
    What files were like before a command wrote them.

    Attributes:
        run: The folder with what the command has found so far, if it has one.
    """

    def __init__(self) -> None:
        self.run: artpack.RunFolder | None = None
        self._before: dict[Path, dict[Path, Stamp]] = {}
        self._missing: list[Path] = []

    def watch(self, path: Path) -> None:
        """Remember what a file, or the files of a folder, are like now."""
        self._before[path] = _stamps(path)
        if not path.exists():
            self._missing.append(path)

    @contextmanager
    def no_empty_folders(self) -> Iterator[None]:
        """Where the block fails, delete folders that it has made and written nothing into."""
        try:
            yield
        except BaseException:
            for path in self._missing:
                with suppress(OSError):
                    path.rmdir()
            raise

    def going_on(self) -> str:
        """Return what to add to the news that a command was ended; empty if it must start anew."""
        if self.run is None or not (self.run.in_use and self.run.has_results):
            return ""
        return f"; the same command goes on from {self.run.path}"

    def written(self) -> list[Path]:
        """Return which files are new or others than they were."""
        return [
            file
            for path, before in self._before.items()
            for file, stamp in _stamps(path).items()
            if before.get(file) != stamp
        ]


def _stamps(path: Path) -> dict[Path, Stamp]:
    stamps = {}
    with suppress(OSError):
        for file in path.iterdir() if path.is_dir() else (path,):
            status = file.stat()
            stamps[file] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return stamps
