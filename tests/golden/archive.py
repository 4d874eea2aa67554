"""Archives of golden cases: tar files, compressed with Zstandard."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from artpack.interop.wrapping import Allowance, decode_zstd, encode_zstd

SUFFIX = ".tar.zst"
PLANES = ".planes"
"""Marks a file of 32-bit numbers whose bytes lie apart: all first ones, all second ones..."""
LARGEST = 1 << 26


def pack(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return an archive of named files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files:
            numbers = name.endswith(".safetensors")
            stored = _transposed(data, (-1, 4)) if numbers else data
            entry = tarfile.TarInfo(name + PLANES if numbers else name)
            entry.size = len(stored)
            archive.addfile(entry, io.BytesIO(stored))
    return encode_zstd(content.getvalue())


def unpack(archive: Path, folder: Path) -> Path:
    """Write the files of an archive into a folder, which is returned."""
    content = decode_zstd(archive.read_bytes(), Allowance(LARGEST))
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        files.extractall(folder, filter="data")
    for path in folder.rglob(f"*{PLANES}"):
        path.with_suffix("").write_bytes(_transposed(path.read_bytes(), (4, -1)))
        path.unlink()
    return folder


def _transposed(data: bytes, shape: tuple[int, int]) -> bytes:
    return np.frombuffer(data, np.uint8).reshape(shape).T.tobytes()
