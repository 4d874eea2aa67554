"""Small files that an artifact carries beside its tensors: configurations, tokenizers, graphs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from artpack.artifact.format import CHECKSUM_BYTES, checksum
from artpack.artifact.schema import as_digests, as_json, as_list, as_map, as_text, as_uint
from artpack.coding.codecs import CODECS, Brotli, Lzma, Zstd
from artpack.errors import CorruptError, UsageError
from artpack.stages import Codec, stage_from_json, stage_to_json

MAX_FILES = 4096
MAX_NAME_BYTES = 255
MAX_LEVELS = 4

TRIED: tuple[Codec, ...] = (Brotli(), Zstd(), Lzma())
"""The smallest wins, the first of equals."""

_FORBIDDEN = frozenset('\\:*?"<>|\x7f')
_KEYS = ("names", "sizes", "codec", "stored_bytes", "checksum", "hash")


@dataclass(frozen=True)
class FilesRecord:
    """
    What the header says of carried files.

    Attributes:
        names: Relative paths with ``/``, ascending.
        sizes: Bytes of each.
        codec: What compressed them, one after another.
        stored_bytes: Their size in the artifact.
        checksum: Of the bytes in the artifact.
        hash: Checksum of the files themselves, one after another.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    codec: Codec
    stored_bytes: int
    checksum: bytes
    hash: bytes


@dataclass(frozen=True)
class PackedFiles:
    """
    Carried files as they lie in an artifact.

    Attributes:
        record: For the header.
        stored: The bytes.
    """

    record: FilesRecord
    stored: bytes


def pack_files(files: Mapping[str, bytes]) -> PackedFiles | None:
    """
    Compress files for an artifact.

    Args:
        files: Relative path, with ``/`` between folders, to content.

    Returns:
        The files in order of their names; None if there are none.

    Raises:
        UsageError: A name cannot be carried, or there are too many files.

    """
    if not files:
        return None
    names = tuple(sorted(files))
    if fault := find_name_fault(names):
        raise UsageError(f"`files`: {fault}")
    content = b"".join(files[name] for name in names)
    stored, codec = min(
        ((codec.encode(content), codec) for codec in TRIED), key=lambda one: len(one[0])
    )
    sizes = tuple(len(files[name]) for name in names)
    record = FilesRecord(names, sizes, codec, len(stored), checksum(stored), checksum(content))
    return PackedFiles(record, stored)


def unpack_files(record: FilesRecord, stored: bytes) -> dict[str, bytes]:
    """
    Give carried files back.

    Args:
        record: What the header says of them, checked.
        stored: Their bytes in the artifact.

    Returns:
        Name to content.

    Raises:
        ArtifactError: They are damaged, or not what the header promises.

    """
    if checksum(stored) != record.checksum:
        raise CorruptError("the carried files' checksum does not match: the file is damaged")
    content = record.codec.decode(stored, size=sum(record.sizes))
    if checksum(content) != record.hash:
        raise CorruptError("the carried files do not match their hash")
    files, start = {}, 0
    for name, size in zip(record.names, record.sizes, strict=True):
        files[name] = content[start : start + size]
        start += size
    return files


def record_to_map(record: FilesRecord) -> dict[str, Any]:
    """Return a record as the header has it."""
    return {
        "names": list(record.names),
        "sizes": list(record.sizes),
        "codec": stage_to_json(record.codec),
        "stored_bytes": record.stored_bytes,
        "checksum": record.checksum,
        "hash": record.hash,
    }


def read_record(value: object) -> FilesRecord:
    """
    Read a record that a stranger wrote.

    Args:
        value: The header's field.

    Returns:
        The record; every name is safe to be written below a folder.

    Raises:
        CorruptError: It contradicts itself or the format.
        UnknownStageError: It names a codec that this artpack does not have.

    """
    fields = as_map(value, "files", _KEYS)
    names = tuple(as_text(name, "name of a file") for name in as_list(fields["names"], "files"))
    if not names:
        raise CorruptError("the header has a field for files, and there are none")
    if fault := find_name_fault(names):
        raise CorruptError(fault)
    sizes = as_list(fields["sizes"], "sizes of files", length=len(names))
    digests = [
        as_digests(fields[key], f"{key} of the files", count=1, size=CHECKSUM_BYTES)[0]
        for key in ("checksum", "hash")
    ]
    return FilesRecord(
        names,
        tuple(as_uint(size, "size of a file") for size in sizes),
        _read_codec(fields["codec"]),
        as_uint(fields["stored_bytes"], "stored_bytes of the files"),
        digests[0],
        digests[1],
    )


def _read_codec(value: object) -> Codec:
    try:
        return stage_from_json(CODECS, as_json(value, "codec of the files"))
    except UsageError as error:
        raise CorruptError(f"the codec of the files is impossible: {error}") from error


def find_name_fault(names: tuple[str, ...]) -> str | None:
    """
    Look for what keeps names from being files below one folder, on any system.

    Args:
        names: Relative paths; they should be ascending.

    Returns:
        What is wrong, with the name; None if nothing is.

    >>> find_name_fault(("config.json", "pooling/config.json"))
    >>> find_name_fault(("../config.json",))
    "the file name '../config.json' is no plain relative path"

    """
    if len(names) > MAX_FILES:
        return f"{len(names)} files, the limit is {MAX_FILES}"
    for name in names:
        if not _is_plain(name):
            return f"the file name {name[:MAX_NAME_BYTES]!r} is no plain relative path"
    if list(names) != sorted(names):
        return "the files are not in the order of their names"
    # Some file systems do not tell upper from lower case.
    taken = Counter(name.casefold() for name in names)
    for name in names:
        *folders, last = accumulate(name.casefold().split("/"), "{}/{}".format)
        if taken[last] > 1 or any(folder in taken for folder in folders):
            return f"the file name {name!r} is taken by another file"
    return None


def _is_plain(name: str) -> bool:
    levels = name.split("/")
    return (
        0 < len(name.encode(errors="replace")) <= MAX_NAME_BYTES
        and len(levels) <= MAX_LEVELS
        and all(level and level[-1] not in ". " and level[0] != " " for level in levels)
        and not any(c < " " or c in _FORBIDDEN or "\ud800" <= c <= "\udfff" for c in name)
    )
