"""The kind of a file of weights, by its first bytes: suffixes lie, and cached blobs have none."""

import json
import re
import zipfile
from enum import Enum
from pathlib import Path

from artpack.errors import CheckpointError
from artpack.system.bounded import open_bounded

HEAD_BYTES = 64
MAX_INDEX_BYTES = 64 << 20

OTHERS = {
    b"version https://git-lfs": "a git-lfs pointer and not the weights: run 'git lfs pull' there",
    b"\x89ART\r\n\x1a\n": "an artifact of artpack and no checkpoint: unpack it first",
    b"\x89HDF": "an HDF5 file: convert it to safetensors first",
    b"\x93NUMPY": "an array of numpy: save a state dict with torch or safetensors",
    b"<": "a page of HTML or XML: the download went wrong",
}
"""How files begin that are often taken for weights, and what to do about each."""


class Kind(Enum):
    """A format of weights."""

    SAFETENSORS = "safetensors"
    TORCH = "torch"
    INDEX = "index"
    GGUF = "gguf"
    ONNX = "onnx"


_BEGINNINGS = {
    Kind.GGUF: re.compile(b"GGUF"),
    Kind.TORCH: re.compile(b"\x80"),
    # A protocol buffer: the version of ONNX, followed by another of its fields.
    Kind.ONNX: re.compile(rb"\x08[\x03-\x1f][\x12\x1a\x22\x28\x32\x3a\x42\x72]"),
}


def sniff(path: Path) -> Kind | None:
    """
    Tell the format of a file.

    Args:
        path: The file, whatever its name.

    Returns:
        The format that it begins like, None if it begins like none of them or cannot be read.

    Raises:
        CheckpointError: It is something else that is well known.

    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    # First of all: the size of a header may be the magic number of something else.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return Kind.SAFETENSORS
    for magic, what in OTHERS.items():
        if head.startswith(magic):
            raise CheckpointError(f"{path}: {what}")
    if head.startswith(b"PK\x03\x04"):
        _refuse_arrays(path)
        return Kind.TORCH
    for kind, pattern in _BEGINNINGS.items():
        if pattern.match(head):
            return kind
    return Kind.INDEX if head.lstrip().startswith(b"{") and _is_index(path, size) else None


def _refuse_arrays(path: Path) -> None:
    """Tell an archive of numpy from one of torch; what is damaged is torch's to explain."""
    try:
        with open_bounded(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # noqa: BLE001 - whatever zipfile makes of damaged bytes
        return
    if names and all(name.endswith(".npy") for name in names):
        raise CheckpointError(
            f"{path}: an archive of numpy: save a state dict with torch or safetensors"
        )


def _is_index(path: Path, size: int) -> bool:
    if size > MAX_INDEX_BYTES:
        return False
    try:
        index = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(index, dict) and "weight_map" in index
