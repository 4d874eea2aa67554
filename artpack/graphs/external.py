"""Elements of a graph's tensors that lie in other files, beside it and nowhere else."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from artpack.errors import CheckpointError
from artpack.system.late import torch

if TYPE_CHECKING:
    from onnx import TensorProto
    from torch import Tensor


MAX_SHARING = 4
"""Tensors may overlap, but not without end."""


class ExternalFiles:
    """
    The files that a graph has elements in; each is mapped once.

    Args:
        path: The graph's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mapped: dict[Path, Tensor] = {}
        self._ranges: dict[Path, set[tuple[int, int]]] = {}
        self._taken: dict[Path, int] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that were read from."""
        return tuple(self._mapped)

    def read(self, tensor: TensorProto, name: str) -> Tensor:
        """
        Map the elements of a tensor.

        Args:
            tensor: As it was parsed.
            name: For messages.

        Returns:
            Its bytes, uint8, where they lie.

        Raises:
            CheckpointError: They do not lie in the graph's folder, or not in that file.

        """
        file = _locate(tensor, name, self._path)
        size = file.stat().st_size
        offset = _number(tensor, name, "offset") or 0
        length = _number(tensor, name, "length")
        end = size if length is None else offset + length
        if not offset <= end <= size:
            raise CheckpointError(
                f"{self._path}: {name!r} has bytes {offset} to {end} of {file.name},"
                f" which has {size}"
            )
        self._count(file, offset, end, size)
        if file not in self._mapped:
            self._mapped[file] = torch.from_file(
                str(file), shared=False, size=size, dtype=torch.uint8
            )
        return self._mapped[file][offset:end]

    def _count(self, file: Path, offset: int, end: int, size: int) -> None:
        """Fail where tensors overlap so much that they are far more than the file holds."""
        ranges = self._ranges.setdefault(file, set())
        if (offset, end) not in ranges:
            ranges.add((offset, end))
            self._taken[file] = self._taken.get(file, 0) + end - offset
        if self._taken[file] > MAX_SHARING * size:
            raise CheckpointError(f"{self._path}: its tensors overlap in {file.name}")


def _locate(tensor: TensorProto, name: str, path: Path) -> Path:
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    file = path.parent / location
    if not _is_inside(location) or not _stays_inside(file, path):
        raise CheckpointError(
            f"{path}: {name!r} is in {location!r:.200}, not a file of this folder"
        )
    if not _is_there(file):
        raise CheckpointError(f"{path}: {name!r} is in {location!r:.200}, which is missing")
    return file


def _is_inside(location: str) -> bool:
    """Return whether a path leads down from its folder, in the spelling of any system."""
    parts = PurePosixPath(location).parts
    plain = "\\" not in location and "\0" not in location and ".." not in parts
    windows = PureWindowsPath(location)
    return plain and bool(parts) and not (windows.drive or windows.root)


def _stays_inside(file: Path, path: Path) -> bool:
    """Return whether a file lies where its name says, or links go where the graph's own goes."""
    # A snapshot in the hub's cache is a folder of links to files that lie side by side.
    try:
        real, folder = file.resolve(), path.parent.resolve()
        return real.is_relative_to(folder) or real.parent == path.resolve().parent
    except (OSError, RuntimeError):
        return False


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name longer than any file's
        return False


def _number(tensor: TensorProto, name: str, key: str) -> int | None:
    text = next((entry.value for entry in tensor.external_data if entry.key == key), None)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise CheckpointError(f"{name!r}: its {key} {text[:40]!r} is no number of bytes")
    return int(text)
