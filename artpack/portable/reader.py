"""
The reader of an artifact in the standard library and numpy alone.

It has the stages of the rooms to its left, and checks the same as
:mod:`artpack.artifact.reader` wherever bytes could cost memory or become wrong weights. What
it leaves to that one is whether a header is written in the one way that it should be.
"""

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from artpack.artifact.format import (
    CHECKSUM_BYTES,
    MAX_DIM,
    MAX_DIMS,
    MAX_MEMBERS,
    MAX_WEIGHTS,
    PREAMBLE_BYTES,
    TRAILER_BYTES,
    checksum,
    max_coded_bytes,
    max_decoded_bytes,
    unpack_preamble,
)
from artpack.artifact.writer import HEADER_CODEC, hash_symbols
from artpack.coding.pipeline import Coded, Pipeline
from artpack.errors import ArtifactError, CorruptError
from artpack.portable.cbor import read_cbor
from artpack.portable.numbers import ROUNDERS, to_array, to_tensor
from artpack.quantize import QUANTIZERS
from artpack.stages.symbols import PartSpec, Quantized, Symbols

FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
"""What comes of a header that is not what it should be."""


RAW = "raw"


class Stored(NamedTuple):
    """A stored tensor: how it was made into symbols, and its parts, filled as they are decoded."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    grid: Any
    hash: bytes
    specs: tuple[PartSpec, ...]


def load(source: Path | str | bytes, *, torch: bool = False) -> dict[str, Any]:
    """
    Decode an artifact, every checksum and hash checked.

    Args:
        source: The file, or its content.
        torch: Give tensors of torch, of the dtypes that the checkpoint had.

    Returns:
        Name to array, in the checkpoint's order; tied names share one. What numpy has no dtype
        for becomes fp32 (bfloat16, float8), complex64 (complex32), or bytes.

    Raises:
        ArtifactError: It is damaged, hostile, or of another version.
        OSError: The file cannot be read.

    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        return _load(data, to_tensor if torch else to_array)
    except ArtifactError:
        raise
    except (*FAULTS, struct.error, RecursionError) as error:
        raise CorruptError(f"the header is damaged: {error!r}") from error


def _load(data: bytes, convert: Any) -> dict[str, Any]:
    preamble = unpack_preamble(data[:PREAMBLE_BYTES], available_bytes=len(data))
    if hashlib.sha256(data[:-TRAILER_BYTES]).digest() != data[-TRAILER_BYTES:]:
        raise CorruptError("the file's hash does not match its trailer: the file is damaged")
    start = PREAMBLE_BYTES + preamble.header_stored_bytes
    stored = data[PREAMBLE_BYTES:start]
    if checksum(stored) != preamble.header_checksum:
        raise CorruptError("the header's checksum does not match: the file is damaged")
    header = read_cbor(HEADER_CODEC.decode(stored, size=preamble.header_decoded_bytes))
    tensors = _read_tensors(header)
    _check_sizes(header, tensors, len(data))
    parts = _decode_streams(header, tensors, data, start)
    made = {one.name: _decode_tensor(one, own) for one, own in zip(tensors, parts, strict=True)}
    dtypes = {one.name: one.dtype for one in tensors}
    return _restore(header, made, dtypes, convert)


def _read_tensors(header: Mapping[str, Any]) -> list[Stored]:
    columns = header["tensors"]
    grids = [build(QUANTIZERS, config) for config in header["quantizers"]]
    hashes = columns["hashes"]
    rows = zip(
        columns["names"],
        columns["shapes"],
        columns["dtypes"],
        columns["quantizers"],
        [hashes[at : at + CHECKSUM_BYTES] for at in range(0, len(hashes), CHECKSUM_BYTES)],
        strict=True,
    )
    tensors = []
    for name, shape, dtype, grid, digest in rows:
        sizes = [whole(size, MAX_DIM) for size in shape]
        if len(sizes) > MAX_DIMS or math.prod(max(1, size) for size in sizes) > MAX_WEIGHTS:
            raise CorruptError(f"{name!r} has the impossible shape {sizes}")
        chosen = grids[whole(grid)]
        if dtype not in ([chosen.dtype] if chosen.stage_id == RAW else ROUNDERS):
            raise CorruptError(f"{name!r} is of the type {dtype!r}, which its grid does not give")
        specs = chosen.parts(tuple(sizes))
        tensors.append(Stored(name, tuple(sizes), dtype, chosen, digest, specs))
    names = {one.name for one in tensors if isinstance(one.name, str)}
    if len(names) < len(tensors):
        raise CorruptError("a tensor has the name of another one, or none")
    return tensors


def build(table: Mapping[str, Any], config: Any) -> Any:
    """
    Make a stage of what a header says of it.

    Args:
        table: Id to class.
        config: Its id and its fields.

    Returns:
        The stage.

    """
    kind = table[config["id"]]
    values = {}
    for field in fields(kind):
        if field.name in config:
            value = config[field.name]
            inner = field.metadata.get("table")
            if inner is None and type(value).__name__ not in str(field.type):
                raise CorruptError(f"{field.name} of {config['id']} is {value!r}")
            values[field.name] = value if inner is None else build(inner, value)
    if len(values) + 1 != len(config):
        raise CorruptError(f"{config['id']} has unknown fields")
    return kind(**values)


def whole(value: Any, below: int = 1 << 63) -> int:
    """
    Return a value that must be a whole number from 0.

    Args:
        value: Anything.
        below: It must be less.

    Returns:
        The same.

    Raises:
        CorruptError: It is not.

    """
    if type(value) is not int or not 0 <= value < below:
        raise CorruptError(f"{value!r} is no whole number below {below}")
    return value


def _check_sizes(header: Mapping[str, Any], tensors: list[Stored], size: int) -> None:
    """Check that no more is to be decoded than a file of this size may hold."""
    sizes = {one.name: sum(spec.rows * spec.cols for spec in one.specs) for one in tensors}
    total = sum(sizes.values())
    for bank in header["banks"]:
        sizes[bank[0]] = sum(sizes[member] for member in bank[1])
    total += sum(sizes[target] for _, target in header["ties"])
    if total > max_decoded_bytes(size):
        raise CorruptError(f"a file of {size} bytes claims to decode to {total}")


def _decode_streams(
    header: Mapping[str, Any], tensors: list[Stored], data: bytes, start: int
) -> list[list[Symbols]]:
    """Return the parts of all tensors."""
    columns, sums = header["streams"], header["streams"]["checksums"]
    pipelines = [
        Pipeline(
            **{
                field.name: build(field.metadata["table"], config[field.name])
                for field in fields(Pipeline)
            }
        )
        for config in header["pipelines"]
    ]
    members = [[_read_member(m, tensors) for m in own] for own in columns["members"]]
    _check_cover(members, tensors)
    sizes = [whole(size) for size in columns["stored_bytes"]]
    files = header["files"]["stored_bytes"] if "files" in header else 0
    if start + sum(sizes) + files + TRAILER_BYTES != len(data):
        raise CorruptError("the streams do not end where the trailer begins")
    parts = [[np.empty((s.rows, s.cols), np.uint8) for s in one.specs] for one in tensors]
    rows = zip(members, columns["pipelines"], columns["coded_bytes"], sizes, strict=True)
    for number, (own, pipeline, coded, size) in enumerate(rows):
        stored = data[start : start + size]
        if checksum(stored) != sums[CHECKSUM_BYTES * number :][:CHECKSUM_BYTES]:
            raise CorruptError(f"stream {number}: the checksum does not match")
        shapes = [(last - first, tensors[t].specs[p].cols) for t, p, first, last in own]
        if whole(coded) > max_coded_bytes(sum(rows * cols for rows, cols in shapes)):
            raise CorruptError(f"stream {number} claims {coded} bytes")
        t, p, *_ = own[0]
        alphabet = tensors[t].specs[p].alphabet
        decoded = pipelines[whole(pipeline)].decode(
            Coded(stored, coded), shapes=shapes, alphabet=alphabet
        )
        for (t, p, first, last), symbols in zip(own, decoded, strict=True):
            parts[t][p][first:last] = symbols
        start += size
    return parts


def _read_member(numbers: list[Any], tensors: list[Stored]) -> tuple[int, int, int, int]:
    """Return tensor, part, first row and the row behind the last one."""
    tensor, part, *span = map(whole, numbers)
    first, rows = span or (0, tensors[tensor].specs[part].rows)
    return tensor, part, first, first + rows


def _check_cover(members: list[list[tuple[int, int, int, int]]], tensors: list[Stored]) -> None:
    """Check that each row of each part is in one stream, each stream of one alphabet."""
    spans: dict[tuple[int, int], list[tuple[int, int]]] = {
        (t, p): [] for t, one in enumerate(tensors) for p in range(len(one.specs))
    }
    if sum(map(len, members)) > MAX_MEMBERS:
        raise CorruptError("the streams have too many members")
    for own in members:
        if len({tensors[t].specs[p].alphabet for t, p, *_ in own}) != 1:
            raise CorruptError("a stream must have members, all of one alphabet")
        for t, p, first, last in own:
            spans[t, p].append((first, last))
    for (t, p), found in spans.items():
        found.sort()
        ends = [(0, 0), *found, (tensors[t].specs[p].rows,) * 2]
        if not found or any(one[1] != following[0] for one, following in pairwise(ends)):
            raise CorruptError(f"rows of {tensors[t].name!r} are missing, or there twice")


def _decode_tensor(one: Stored, parts: list[Symbols]) -> NDArray[Any]:
    """Return weights, or elements as strings of bytes."""
    names = [spec.name for spec in one.specs]
    quantized = Quantized(one.shape, dict(zip(names, parts, strict=True)))
    if hash_symbols(quantized) != one.hash:
        raise CorruptError(f"{one.name!r}: the decoded symbols do not match their hash")
    if one.grid.stage_id == RAW:
        elements = one.grid.elements(quantized)
        made: NDArray[Any] = elements.view(f"V{elements.shape[1]}").reshape(one.shape)
    else:
        made = one.grid.weights(quantized)
    return made


def _restore(
    header: Mapping[str, Any],
    made: dict[str, NDArray[Any]],
    dtypes: dict[str, str],
    convert: Any,
) -> dict[str, Any]:
    """Stack banks, and give tied names their tensor."""
    for name, members, *rest in header["banks"]:
        if name in made and members != [name]:
            raise CorruptError(f"the bank {name!r} has the name of a tensor")
        slices = [made.pop(member) for member in members]
        axes = rest[0] if rest else [len(slices)]
        if len(rest) > 1:
            slices = [one.T for one in slices]
        made[name] = np.stack(slices).reshape(*axes, *slices[0].shape)
        dtypes[name] = dtypes[members[0]]
    converted = {name: convert(values, dtypes[name]) for name, values in made.items()}
    for name, target in header["ties"]:
        converted[name] = converted[target]
    return {name: converted[name] for name in header["outputs"] or made}
