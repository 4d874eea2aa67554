"""
The loading of ``torch.save`` files, with no more memory than the file accounts for.

A few bytes can ask for many: by compressed records, by calls that allocate, by strides
of 0. The first two are looked for before torch sees the file; the last shows in what
the tensors claim when they are there, and before any of their elements is touched.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from artpack.checkpoint.calls import check_calls, read_keys
from artpack.errors import CheckpointError
from artpack.system.bounded import open_bounded
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

ZIP_MAGIC = b"PK\x03\x04"

MAX_INFLATION = 16
"""Weights never compress so well; a file that does is likelier a bomb."""

MAX_SHARING = 4
"""Tensors may overlap, as a fused matrix and its parts do, but not without end."""

SPARE_BYTES = 1 << 20
"""Neither factor counts below this: small tensors may be expanded, small files inflate."""

LEGACY_PICKLES = 3
"""Magic number, protocol, machine; then come content and keys of the storages."""


def load_saved(path: Path, *, mmap: bool = False) -> object:
    """
    Load a file of ``torch.save``.

    Args:
        path: The file.
        mmap: Leave tensors in the file until they are touched.

    Returns:
        Tensors, numbers and text in containers, all on the CPU.

    Raises:
        CheckpointError: It would take far more memory than the file has bytes.
        Exception: It is damaged; zipfile and torch raise nearly anything then.

    """
    stored_bytes = _check_unread(path)
    with warnings.catch_warnings():  # torch warns of what it is about to refuse, too
        warnings.simplefilter("ignore")
        if mmap:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        else:  # opened here: torch reads a file named .safetensors as what it may not be
            with path.open("rb") as file:
                content = torch.load(file, map_location="cpu", weights_only=True)
    _check_claims(content, stored_bytes)
    return content


def _check_unread(path: Path) -> int:
    """Return how many bytes the file holds, decompressed."""
    size = path.stat().st_size
    with open_bounded(path) as file:
        if file.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
            return _check_archive(file, size)
        file.seek(0)
        _check_legacy(file)
    return size


def _check_legacy(file: BinaryIO) -> None:
    """Fail if pickles, one behind the other, call too much, or storages are missing."""
    for _ in range(LEGACY_PICKLES):
        check_calls(file)
    # Torch leaves in a storage that nothing is read for whatever was in memory.
    if missing := check_calls(file) - read_keys(file):
        raise CheckpointError(f"it does not hold {len(missing)} of the storages it names")


def _check_archive(file: BinaryIO, size: int) -> int:
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        total = sum(record.file_size for record in records)
        if total > MAX_INFLATION * size + SPARE_BYTES:
            raise CheckpointError(
                f"{total} bytes compressed into {size}, which weights never are;"
                " if you trust the file, unpack it and save it again with torch.save"
            )
        for record in records:
            if record.filename.endswith("/data.pkl"):
                check_calls(archive.read(record))
    return max(size, total)


def _check_claims(content: object, stored_bytes: int) -> None:
    """Fail if the tensors are together much more than was stored."""
    limit = MAX_SHARING * stored_bytes + SPARE_BYTES
    claims = {_place(tensor): tensor.nbytes for tensor in _tensors(content)}
    if (total := sum(claims.values())) > limit:
        raise CheckpointError(
            f"its tensors are {total} bytes, and the file accounts for no more than {limit};"
            " if they were expanded or overlap, save them with .clone()"
        )


def _place(tensor: Tensor) -> tuple[object, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _tensors(content: object) -> Iterator[Tensor]:
    """Give the dense tensors in containers, each container once: one may hold itself."""
    seen: set[int] = set()
    left = [content]
    while left:
        item = left.pop()
        if isinstance(item, torch.Tensor):
            if item.layout is torch.strided and not (item.is_meta or item.is_nested):
                yield item
        elif isinstance(item, Mapping | list | tuple | set) and id(item) not in seen:
            seen.add(id(item))
            left += item.values() if isinstance(item, Mapping) else item
