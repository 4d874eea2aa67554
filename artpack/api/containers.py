"""The jobs around other systems' containers: import and export, integer by integer."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from artpack.artifact.reader import Artifact, open_artifact
from artpack.coding.profiles import profile_named
from artpack.errors import ArtifactError
from artpack.interop import (
    FORMATS,
    from_artifact,
    read_container,
    repack,
    write_container,
)
from artpack.models import ModelConfig
from artpack.models.find import choose_model
from artpack.pack.compress import Packed
from artpack.stages.progress import Progress
from artpack.system.atomic import write_atomically


@dataclass(frozen=True, eq=False)
class ImportResult:
    """
    An artifact in memory, with the integers of another system's container.

    Attributes:
        packed: The artifact.
        format: Name of the container's format.
        sha256: Hash of the container, in hexadecimal.
        tensors: How many there are.
        source_bytes: Size of the container.
        notes: What was decided on the way, one line each.
    """

    packed: Packed
    format: str
    sha256: str
    tensors: int
    source_bytes: int
    notes: tuple[str, ...]

    @property
    def system(self) -> str:
        """The system that writes such containers."""
        return FORMATS[self.format].system

    @property
    def size_bytes(self) -> int:
        """Size of the artifact."""
        return self.packed.size_bytes

    def content(self) -> bytes:
        """Return the artifact's bytes."""
        return self.packed.content()

    def save(self, path: str | os.PathLike[str]) -> int:
        """Write the artifact, whole or not at all; return its size in bytes."""
        return write_atomically(Path(path), self.packed.pieces)

    def __repr__(self) -> str:
        return (
            f"<ImportResult of {self.format} ({self.system}): {self.tensors} tensors,"
            f" {self.source_bytes:,} -> {self.size_bytes:,} bytes>"
        )


@dataclass(frozen=True, eq=False)
class ExportResult:
    """
    Another system's container in memory, with the integers of an artifact.

    Attributes:
        data: The whole file.
        format: Name of its format.
        tensors: How many there are.
        source_bytes: Size of the artifact.
    """

    data: bytes
    format: str
    tensors: int
    source_bytes: int

    @property
    def system(self) -> str:
        """The system that writes such containers."""
        return FORMATS[self.format].system

    @property
    def size_bytes(self) -> int:
        """Size of the container."""
        return len(self.data)

    def save(self, path: str | os.PathLike[str]) -> int:
        """Write the container, whole or not at all; return its size in bytes."""
        return write_atomically(Path(path), [self.data])

    def __repr__(self) -> str:
        return (
            f"<ExportResult in {self.format} ({self.system}): {self.tensors} tensors,"
            f" {self.source_bytes:,} -> {self.size_bytes:,} bytes>"
        )


def import_container(
    source: str | os.PathLike[str] | bytes,
    *,
    model: ModelConfig | str | None = None,
    profile: str = "default",
    jobs: int | None = None,
    max_decoded_bytes: int | None = None,
    progress: Progress | None = None,
) -> ImportResult:
    """
    Repack the container of another system without changing an integer.

    Args:
        source: The container's file, or its content.
        model: The weights' model, a config, preset or file; None to find it.
        profile: How hard to look for the smallest coding: ``fast``, ``default``, ``max``.
        jobs: Threads, None for one a core; the bytes do not depend on it.
        max_decoded_bytes: Refuse a file of which more than this would have to be decoded;
            by default 64 MiB and 256 times its size.
        progress: Told how far it is.

    Returns:
        The artifact in memory.

    Raises:
        ArtifactError: The container is damaged, cut short, hostile, or of no known format.
        UsageError: The model is another one, or a program that unpacks it is missing.
        OSError: The file cannot be read.

    """
    path = None if isinstance(source, bytes) else Path(source)
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        container = read_container(data, max_bytes=max_decoded_bytes)
        found = choose_model(model, container.shapes, path)
        packed = repack(
            container,
            sha256=sha256,
            model=None if found.config is None else found.config.to_json(),
            profile=profile_named(profile),
            jobs=jobs,
            progress=progress,
        )
    except ArtifactError as error:
        if path is None:
            raise
        raise type(error)(f"{path}: {error}") from error
    count = len(container.tensors)
    return ImportResult(packed, container.format, sha256, count, len(data), found.packing_notes)


def export_container(
    source: str | os.PathLike[str] | bytes | Artifact,
    name: str,
    *,
    file_name: str = "archive",
    max_decoded_bytes: int | None = None,
) -> ExportResult:
    """
    Write the integers of an artifact in the container format of another system.

    Args:
        source: The artifact's file, its content, or an open one.
        name: Of the format, a key of :data:`~artpack.interop.formats.FORMATS`.
        file_name: Under which it will be saved; one format has it inside.
        max_decoded_bytes: As :func:`~artpack.api.files.load` takes it.

    Returns:
        The container in memory.

    Raises:
        ArtifactError: The artifact is damaged, hostile, or of another version.
        UsageError: There is no such format, or it has no place for a tensor.
        OSError: The file cannot be read.

    >>> import artpack, torch
    >>> packed = artpack.compress({"fc.weight": torch.eye(64)}, recipe="int8", profile="fast")
    >>> export_container(packed.content(), "torch-zstd").tensors
    1

    """
    if isinstance(source, Artifact):
        source.check_trailer()
        container = from_artifact(source, name)
        size = source.preamble.file_bytes
    else:
        file = source if isinstance(source, bytes) else Path(source)
        with open_artifact(file, max_decoded_bytes=max_decoded_bytes) as artifact:
            return export_container(artifact, name, file_name=file_name)
    data = write_container(container, name, file_name=file_name)
    return ExportResult(data, name, len(container.tensors), size)
