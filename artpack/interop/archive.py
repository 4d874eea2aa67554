"""
Archives of ``torch.save`` from strangers, in memory.

What torch gets to see is never the stranger's zip file but a fresh one, with the same
records: so no compressed record can inflate and no two readers of a zip can disagree.
"""

import io
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from artpack.checkpoint.saved import MAX_SHARING, SPARE_BYTES
from artpack.checkpoint.source import reason
from artpack.errors import CorruptError, TruncatedError
from artpack.interop.pickled import storage_sizes

MAX_RECORDS = 1 << 16
ITEM_BYTES = 8
MAX_PICKLE_BYTES = 16 << 20
"""A pickle of 60,000 tensors has about this size."""

ZIP_MAGIC = b"PK\x03\x04"
ZIP_END, ZIP_END_BYTES = b"PK\x05\x06", 22


def read_archive(data: bytes) -> Any:
    """
    Read what was given to ``torch.save``.

    Args:
        data: One archive in the zip format.

    Returns:
        Tensors, strings and numbers in dicts, lists and tuples. No tensor takes more
        memory than its record has bytes; its shape is not checked against that yet,
        see :func:`artpack.interop.fields.as_tensor`.

    Raises:
        TruncatedError: The archive ends early.
        CorruptError: It is damaged, holds a record that it should not, or asks for
            anything but tensors.

    """
    fresh = _rewrite(_read_records(data))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(io.BytesIO(fresh), map_location="cpu", weights_only=True)
    except Exception as error:
        raise CorruptError(f"torch cannot load the archive: {reason(error)}") from error
    _check_sharing(content, MAX_SHARING * len(data) + SPARE_BYTES)
    return content


def write_archive(content: object, *, file_name: str = "archive") -> bytes:
    """
    Give the bytes that ``torch.save`` writes.

    Args:
        content: Tensors, strings and numbers in dicts, lists and tuples.
        file_name: Without its last ending it becomes the archive's root folder, as if
            the archive had been saved under this name.

    Returns:
        One archive.

    Raises:
        OSError: The folder for temporary files is full, or cannot be written to.

    """
    with TemporaryDirectory(prefix="artpack-archive-") as folder:
        path = Path(folder, Path(file_name).name)
        try:
            torch.save(content, path)
        except RuntimeError as error:  # what torch makes of a disk that is full
            raise OSError(f"{path}: cannot be written: is the disk full?") from error
        return path.read_bytes()


def _read_records(data: bytes) -> dict[str, bytes]:
    """Return the records by name, without the root folder's."""
    if not data.startswith(ZIP_MAGIC):
        raise CorruptError("not an archive of torch.save")
    if not data[-ZIP_END_BYTES:].startswith(ZIP_END):
        raise TruncatedError("the archive is cut short, or something follows it")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_directory(infos, len(data))
            named = {info.filename.partition("/")[2]: archive.read(info) for info in infos}
    except CorruptError:
        raise
    except zipfile.BadZipFile as error:
        raise TruncatedError(f"the archive is cut short or damaged: {reason(error)}") from error
    except Exception as error:  # zipfile raises nearly anything on damaged archives
        raise CorruptError(f"the archive is damaged: {reason(error)}") from error
    if len(named) != len(infos):
        raise CorruptError("the archive has two records of one name")
    return named


def _check_directory(infos: list[zipfile.ZipInfo], size: int) -> None:
    if len(infos) > MAX_RECORDS:
        raise CorruptError(f"the archive has {len(infos)} records, the limit is {MAX_RECORDS}")
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise CorruptError("the archive has a compressed or encrypted record; torch.save has none")
    if sum(info.file_size for info in infos) > size:
        raise CorruptError("the archive's records overlap")


def _check_sharing(content: object, limit: int) -> None:
    """Fail where one thing stands in so many places that each taken by itself is too much."""
    known: dict[int, int] = {}

    def size(item: object) -> int:
        if isinstance(item, Tensor):
            # As many elements as there are in memory; as_tensor refuses the others.
            return item.nbytes if item.is_contiguous() else ITEM_BYTES
        if not isinstance(item, dict | list | tuple):
            return ITEM_BYTES + (len(item) if isinstance(item, str | bytes) else 0)
        if id(item) not in known:
            known[id(item)] = limit + 1  # of what holds itself
            values = item.items() if isinstance(item, dict) else item
            known[id(item)] = ITEM_BYTES + sum(size(value) for value in values)
        return known[id(item)]

    try:
        total = size(content)
    except RecursionError as error:
        raise CorruptError("the archive is nested too deeply") from error
    if total > limit:
        raise CorruptError(
            f"the archive says the same so often that it is more than {limit} bytes in all"
        )


def _rewrite(records: dict[str, bytes]) -> bytes:
    """Check the records against each other, and write those that torch needs."""
    pickled = records.get("data.pkl", b"")
    if len(pickled) > MAX_PICKLE_BYTES:
        raise CorruptError(f"the archive's pickle has {len(pickled)} bytes: too many")
    if records.get("byteorder", b"little") != b"little":
        raise CorruptError("the archive was written by a big-endian machine")
    sizes = {f"data/{key}": size for key, size in storage_sizes(pickled).items()}
    held = {name: len(record) for name, record in records.items() if name.startswith("data/")}
    if sizes != held:
        name = min(name for name in sizes.keys() | held if sizes.get(name) != held.get(name))
        raise CorruptError(
            f"record {name!r} has {held.get(name)} bytes, the pickle claims {sizes.get(name)}"
        )
    fresh = io.BytesIO()
    with zipfile.ZipFile(fresh, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", b"little")
        for name in held:
            archive.writestr(f"archive/{name}", records[name])
        archive.writestr("archive/version", records.get("version", b"3\n"))
    return fresh.getvalue()
