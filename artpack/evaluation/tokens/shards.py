"""
Token streams on disk: shards and ``.npy`` arrays.

A shard is 256 little-endian 32-bit words of header (magic, version, number of
tokens, the rest unused) and then the tokens, 16 bits each. A byte sidecar has the
same layout, one number of bytes per token; its name has ``_bytes_`` in it.

Source: the shard format that the parameter-golf challenge and its entries share.
"""

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.system.arrays import read_header
from artpack.system.atomic import write_atomically

Tokens: TypeAlias = NDArray[np.unsignedinteger[Any]]
"""A one-dimensional stream of token ids."""

MAGIC = 20240520
VERSION = 1
HEADER_BYTES = 1024
SIDECAR_MARK = "_bytes_"


def read_shard(path: Path, *, vocab_size: int | None = None) -> Tokens:
    """
    Read one shard, believing nothing that its header says.

    Args:
        path: The file.
        vocab_size: Every id must be below this; not checked if None.

    Returns:
        The tokens, uint16.

    Raises:
        UsageError: The file is missing or not a shard, its magic, version, count or
            size disagrees with its bytes, or an id is beyond the vocabulary.

    """
    if not path.is_file():
        raise UsageError(f"{path}: no such token file")
    size = path.stat().st_size
    if size < HEADER_BYTES:
        raise UsageError(
            f"{path}: {size} bytes are less than a shard's 1,024-byte header; give a token shard"
        )
    magic, version, count = (int(word) for word in np.fromfile(path, "<i4", 3))
    if magic != MAGIC:
        raise UsageError(f"{path}: magic is {magic}, not {MAGIC}; give a token shard")
    if version != VERSION:
        raise UsageError(f"{path}: version is {version}, only {VERSION} can be read")
    if count < 0:
        raise UsageError(f"{path}: header counts {count} tokens; write the shard again")
    if size != HEADER_BYTES + 2 * count:
        raise UsageError(
            f"{path}: header counts {count} tokens, which take {HEADER_BYTES + 2 * count} bytes, "
            f"but the file has {size}; fetch or write it again"
        )
    ids = np.fromfile(path, "<u2", offset=HEADER_BYTES)
    _check_vocabulary(path, ids, vocab_size)
    return ids


def write_shard(path: Path, ids: NDArray[np.integer[Any]]) -> None:
    """
    Write one shard, or one byte sidecar.

    Args:
        path: The file to write.
        ids: One-dimensional, every value in [0, 65536).

    Raises:
        UsageError: The ids have another shape or do not fit 16 bits.
        OSError: The file cannot be written.

    """
    if ids.ndim != 1 or (ids.size and not 0 <= ids.min() <= ids.max() < 1 << 16):
        raise UsageError(f"{path}: a shard holds one dimension of values from 0 to 65535")
    header = np.zeros(HEADER_BYTES // 4, "<i4")
    header[:3] = MAGIC, VERSION, ids.size
    write_atomically(path, [header.tobytes(), ids.astype("<u2").tobytes()])


def find_shards(pattern: str, *, sidecars: bool = False) -> list[Path]:
    """
    List the files that a pattern names, in the order of their names.

    Args:
        pattern: A path; its last part may hold ``*``, ``?`` and ``[]``.
        sidecars: List the byte sidecars that match, instead of everything else.

    Returns:
        At least one path.

    Raises:
        UsageError: Nothing matches.

    """
    path = Path(pattern)
    if path.exists():
        return [path]
    found = [p for p in path.parent.glob(path.name) if (SIDECAR_MARK in p.name) == sidecars]
    if not found:
        kind = f"sidecar (with {SIDECAR_MARK!r} in its name)" if sidecars else "token file"
        raise UsageError(f"{pattern}: no {kind} matches")
    return sorted(found)


def read_tokens(pattern: str, *, vocab_size: int | None = None) -> Tokens:
    """
    Read a token stream from shards or ``.npy`` arrays.

    Args:
        pattern: As :func:`find_shards` takes it; matching files are concatenated.
        vocab_size: Every id must be below this; not checked if None.

    Returns:
        The tokens, in the order of the files' names.

    Raises:
        UsageError: A file is missing or lies about itself, or an id is beyond the
            vocabulary.

    """
    return np.concatenate(
        [
            _read_npy(path, vocab_size)
            if path.suffix == ".npy"
            else read_shard(path, vocab_size=vocab_size)
            for path in find_shards(pattern)
        ],
    )


def read_sidecar(pattern: str, *, count: int) -> NDArray[np.int64]:
    """
    Read the bytes that each token stands for.

    Args:
        pattern: As :func:`find_shards` takes it.
        count: How many tokens the stream has.

    Returns:
        Bytes per token, int64, shape (count,).

    Raises:
        UsageError: A file is missing or lies about itself, or the sidecar is of
            another length than the stream.

    """
    parts = [read_shard(path) for path in find_shards(pattern, sidecars=True)]
    byte_counts = np.concatenate(parts).astype(np.int64)
    if byte_counts.size != count:
        raise UsageError(
            f"{pattern}: sidecar has {byte_counts.size} entries for {count} tokens; "
            "give the one that was written beside these tokens"
        )
    return byte_counts


def _read_npy(path: Path, vocab_size: int | None) -> Tokens:
    try:
        with path.open("rb") as file:
            shape, _, dtype = read_header(file, str(path))
            if len(shape) != 1 or dtype.kind not in "iu":
                raise UsageError(f"{path}: tokens must be a one-dimensional array of integers")
            held = path.stat().st_size - file.tell()
            if held != shape[0] * dtype.itemsize:
                raise UsageError(
                    f"{path}: header counts {shape[0]} tokens, which take"
                    f" {shape[0] * dtype.itemsize} bytes, but {held} follow it; write it again"
                )
            ids = np.fromfile(file, dtype)
    except OSError as error:
        raise UsageError(f"{path}: not a readable .npy array") from error
    ids = ids.astype(dtype.newbyteorder("="), copy=False)
    if ids.size and not 0 <= ids.min() <= ids.max() < 1 << 32:
        raise UsageError(f"{path}: token ids run from {ids.min()} to {ids.max()}")
    _check_vocabulary(path, ids, vocab_size)
    return ids if ids.dtype.kind == "u" else ids.astype(np.uint32)


def _check_vocabulary(path: Path, ids: Tokens, vocab_size: int | None) -> None:
    if vocab_size is None or not ids.size or int(ids.max()) < vocab_size:
        return
    at = int(np.argmax(ids >= vocab_size))
    raise UsageError(
        f"{path}: token {at} is id {ids[at]}, beyond the vocabulary of {vocab_size}; "
        "give the tokenizer and model that these tokens were made for"
    )
