"""Headers of GGUF files: read without trust, checked before anything is allocated."""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artpack.checkpoint.optional import import_gguf
from artpack.checkpoint.source import reason
from artpack.errors import CheckpointError

VERSIONS = (2, 3)
MAX_ITEMS = 1 << 22
"""Of an array; vocabularies have a few hundred thousand."""

MAX_AXES = 4
MAX_WEIGHTS = 1 << 40
"""Of a tensor, empty axes taken for 1."""

HALVES = {"F16": "float16", "BF16": "bfloat16"}
"""Types of matrices that keep their dtype, and what torch calls it."""

_DEFAULT_ALIGNMENT = 32
_NUMBERS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_MIN_FIELD_BYTES = 13
_MIN_TENSOR_BYTES = 24


@dataclass(frozen=True)
class GgufTensor:
    """
    A tensor's place in the file.

    Attributes:
        name: As llama.cpp calls it.
        shape: Its axes, the slowest first.
        kind: Its type, a ``gguf.GGMLQuantizationType``.
        start: Offset of its first byte in the file.
        bytes: How many it has.
    """

    name: str
    shape: tuple[int, ...]
    kind: Any
    start: int
    bytes: int


@dataclass(frozen=True)
class GgufHeader:
    """
    What is needed to find the tensors.

    Attributes:
        architecture: As llama.cpp calls it.
        tensors: In the file's order.
    """

    architecture: str
    tensors: tuple[GgufTensor, ...]


class _Cursor:
    """A place in the header's bytes that never leaves them."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.at

    def skip(self, count: int) -> int:
        if count > self.left:
            raise CheckpointError(f"cut off: byte {self.at + count} is past the end")
        start, self.at = self.at, self.at + count
        return start

    def number(self, code: str) -> Any:
        start = self.skip(struct.calcsize(f"<{code}"))
        return struct.unpack_from(f"<{code}", self._data, start)[0]

    def count(self, least_bytes: int, what: str) -> int:
        count = int(self.number("Q"))
        if count * least_bytes > self.left:
            raise CheckpointError(f"{count} {what} in {self.left} bytes: damaged or cut off")
        return count

    def text(self) -> str:
        size = self.count(1, "letters")
        start = self.skip(size)
        try:
            return self._data[start : start + size].decode()
        except UnicodeDecodeError:
            raise CheckpointError(f"the text at byte {start} is not UTF-8") from None


def read_gguf_header(path: Path) -> GgufHeader:
    """
    Read where the tensors of a GGUF file are.

    Args:
        path: The file; versions 2 and 3, little endian.

    Returns:
        The header; every tensor lies within the file.

    Raises:
        CheckpointError: The file is damaged, or of a kind that is not read.

    Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(_Cursor(data))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: a GGUF file, {error}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({reason(error)})") from error


def _read(cursor: _Cursor) -> GgufHeader:
    cursor.skip(4)
    version = cursor.number("I")
    if version not in VERSIONS:
        if version & 0xFFFF == 0:
            raise CheckpointError("big endian: convert it to little endian first")
        raise CheckpointError(f"version {version}, and only 2 and 3 are read")
    count = cursor.count(_MIN_TENSOR_BYTES, "tensors")
    fields = _read_fields(cursor)
    if not count:
        raise CheckpointError("no tensors in it")
    entries = [_read_entry(cursor) for _ in range(count)]
    alignment = fields.get("general.alignment", _DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise CheckpointError(f"the alignment {alignment!r} is no power of two")
    first = -(-cursor.at // alignment) * alignment
    end = cursor.at + cursor.left
    tensors = tuple(_place(*entry, first=first, end=end) for entry in entries)
    if sum(tensor.bytes for tensor in tensors) > end - first:
        raise CheckpointError("its tensors overlap")
    if len({tensor.name for tensor in tensors}) < count:
        raise CheckpointError("two of its tensors have the same name")
    architecture = fields.get("general.architecture")
    if not isinstance(architecture, str):
        raise CheckpointError("no architecture in it")
    layers = fields.get(f"{architecture}.block_count", 0)
    if type(layers) is not int or not 0 <= layers <= count:
        raise CheckpointError(f"{layers!r} layers in {count} tensors: damaged")
    return GgufHeader(architecture, tensors)


def _read_fields(cursor: _Cursor) -> dict[str, object]:
    fields: dict[str, object] = {}
    for _ in range(cursor.count(_MIN_FIELD_BYTES, "fields")):
        name = cursor.text()
        if name in fields:
            raise CheckpointError(f"the field {name!r} is there twice")
        fields[name] = _read_value(cursor, name)
    parts = fields.get("split.count", 0)
    if parts not in (0, 1):
        raise CheckpointError(
            f"one of {parts}: join them first (llama-gguf-split --merge), or give one whole file"
        )
    return fields


def _read_value(cursor: _Cursor, name: str) -> object:
    """Read a value; arrays are only walked through."""
    kind = cursor.number("I")
    if kind in _NUMBERS:
        return cursor.number(_NUMBERS[kind])
    if kind == _TEXT:
        return cursor.text()
    if kind != _ARRAY:
        raise CheckpointError(f"the field {name!r} is of the unknown type {kind}")
    item = cursor.number("I")
    if item != _TEXT and item not in _NUMBERS:
        raise CheckpointError(f"the field {name!r} is an array of the unknown type {item}")
    width = 8 if item == _TEXT else struct.calcsize(f"<{_NUMBERS[item]}")
    count = cursor.count(width, "items")
    if count > MAX_ITEMS:
        raise CheckpointError(f"the field {name!r} has {count} items, the limit is {MAX_ITEMS}")
    if item != _TEXT:
        cursor.skip(count * width)
        return None
    for _ in range(count):
        cursor.skip(cursor.count(1, "letters"))
    return None


def _read_entry(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name = cursor.text()
    axes = cursor.number("I")
    if not 0 <= axes <= MAX_AXES:
        raise CheckpointError(f"{name!r} has {axes} axes, the limit is {MAX_AXES}")
    shape = tuple(cursor.number("Q") for _ in range(axes))
    return name, shape[::-1], cursor.number("I"), cursor.number("Q")


def _place(
    name: str, shape: tuple[int, ...], kind: int, offset: int, *, first: int, end: int
) -> GgufTensor:
    gguf = import_gguf()
    try:
        known = gguf.GGMLQuantizationType(kind)
        block, block_bytes = gguf.GGML_QUANT_SIZES[known]
    except (ValueError, KeyError):
        raise CheckpointError(
            f"{name!r} is of type {kind}, which this version of the package gguf does not know"
        ) from None
    if block > 1 and (not shape or shape[-1] % block):
        raise CheckpointError(f"{name!r} of shape {shape} is not made of blocks of {block}")
    if math.prod(max(1, axis) for axis in shape) > MAX_WEIGHTS:
        raise CheckpointError(f"{name!r} has the impossible shape {shape}")
    size = math.prod(shape) // block * block_bytes
    if first + offset + size > end:
        raise CheckpointError(f"cut off: {name!r} ends past the end")
    return GgufTensor(name, shape, known, first + offset, size)
