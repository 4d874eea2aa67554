"""
Arrays in numpy's own formats, from strangers: no more is allocated than a file accounts for.

numpy itself allocates what a header says, however short the file is, and inflates whatever
an archive holds.

Source: numpy, ``numpy.lib.format``.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.system.bounded import open_bounded

MAX_INFLATION = 1024
"""Deflate makes no more of a byte."""

MAX_HEADER_BYTES = 10_000


def read_array(path: Path) -> NDArray[Any]:
    """
    Read an array.

    Args:
        path: An ``.npy`` file.

    Returns:
        Any shape and type, but no objects.

    Raises:
        UsageError: It is something else, or has other bytes than its header says.
        OSError: It cannot be read.

    """
    with path.open("rb") as file:
        return _read(file, path.stat().st_size, str(path))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """
    Read named arrays.

    Args:
        path: An ``.npz`` file.

    Returns:
        Name to array.

    Raises:
        UsageError: It is damaged, holds objects, or inflates to far more than it has bytes.
        OSError: It cannot be read.

    """
    with open_bounded(path) as file:
        try:
            return _read_archive(file, path)
        except UsageError:
            raise
        except Exception as error:  # zipfile and zlib raise nearly anything on damaged bytes
            raise UsageError(f"{path}: a damaged .npz file of named arrays, or none") from error


def _read_archive(file: IO[bytes], path: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        if sum(record.file_size for record in records) > MAX_INFLATION * path.stat().st_size:
            raise UsageError(f"{path}: inflates to more than {MAX_INFLATION} times its size")
        found = {}
        for record in records:
            with archive.open(record) as content:
                name = record.filename.removesuffix(".npy")
                found[name] = _read(content, record.file_size, f"{path}: {name!r}")
    if len(found) != len(records):
        raise UsageError(f"{path}: two arrays of one name")
    return found


def read_header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """
    Read the header of an ``.npy`` file.

    Args:
        file: At its beginning; left behind the header.
        name: What to call it in the message.

    Returns:
        Shape, whether the first axis is the fastest, and dtype.

    Raises:
        UsageError: It is none.

    """
    try:
        early = npy.read_magic(file) == (1, 0)
        told = file.read(2 if early else 4)
        # No more than numpy accepts: to read is to allocate, however little there is.
        header = io.BytesIO(told + file.read(min(int.from_bytes(told, "little"), MAX_HEADER_BYTES)))
        read = npy.read_array_header_1_0 if early else npy.read_array_header_2_0
        shape, turned, dtype = read(header)
    except Exception as error:  # numpy lets Python parse the header, which raises anything
        raise UsageError(f"{name}: not a readable .npy array") from error
    return shape, turned, dtype


def _read(file: IO[bytes], size: int, name: str) -> NDArray[Any]:
    shape, turned, dtype = read_header(file, name)
    held = size - file.tell()
    if dtype.hasobject or min(shape, default=0) < 0:
        raise UsageError(f"{name}: no array of numbers")
    if held != math.prod(shape) * dtype.itemsize:
        raise UsageError(f"{name}: {held} bytes are no {dtype} of the shape {shape}")
    values = np.frombuffer(bytearray(file.read(held)), dtype)
    try:
        return values.reshape(shape, order="F" if turned else "C")
    except ValueError as error:  # no elements, along axes that are too long for numpy
        raise UsageError(f"{name}: not a readable .npy array") from error
