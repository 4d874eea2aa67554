"""Every coder, codec, layout and grid, fed alone with what golden artifacts hold of it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from math import prod
from random import Random
from typing import Any, NamedTuple

import numpy as np
import torch

from artpack.artifact.reader import open_artifact
from artpack.coding.codecs import CODECS
from artpack.coding.layouts import LAYOUTS
from artpack.coding.pipeline import Pipeline
from artpack.coding.symbol_coders import SYMBOL_CODERS
from artpack.errors import UsageError
from artpack.quantize import QUANTIZERS, Raw
from artpack.stages import Quantizer
from artpack.stages.symbols import MAX_ALPHABET, Quantized, Symbols
from tests.artifact.golden_cases import FOLDER
from tests.fuzz.mutate import change_bytes, change_tree
from tests.fuzz.target import FaultError, Target

MAX_SYMBOLS = 1 << 16
MAX_BYTES = 1 << 20
MAX_DIMS = 8
FREE = ("classed-rans", "adaptive")
"""Coders with many streams for the same symbols: the classes of rows are the encoder's choice."""


class Stream(NamedTuple):
    """A stream of a golden artifact, at every stage of its pipeline."""

    pipeline: Pipeline
    shapes: list[tuple[int, int]]
    alphabet: int
    sides: list[bytes]
    packed: bytes
    coded: bytes
    matrices: list[Symbols]


@cache
def streams() -> list[Stream]:
    """Take all streams out of the golden artifacts."""
    return list(_streams())


def _streams() -> Iterator[Stream]:
    for path in sorted(FOLDER.glob("*.artpack")):
        if path.stem == "lrzip" and not shutil.which("lrzip"):
            continue
        with open_artifact(path) as artifact:
            plan = artifact.header.plan
            for s, stream in enumerate(plan.streams):
                pipeline, shapes = stream.pipeline, plan.shapes(stream.members)
                alphabet = plan.spec(stream.members[0]).alphabet
                sides, packed = pipeline._cut_sides(artifact.stored_stream(s), shapes)
                coded = pipeline.codec.decode(packed, size=artifact.header.records[s].coded_bytes)
                matrices = pipeline.coder.decode_matrices(coded, shapes=shapes, alphabet=alphabet)
                yield Stream(pipeline, shapes, alphabet, sides, packed, coded, matrices)


@cache
def tensors() -> list[tuple[Quantizer, Quantized]]:
    """Take all quantized tensors out of the golden artifacts."""
    found = []
    for path in sorted(FOLDER.glob("*.artpack")):
        if path.stem == "lrzip" and not shutil.which("lrzip"):
            continue
        with open_artifact(path) as artifact:
            plans = artifact.header.plan.tensors
            found += [(plan.quantizer, artifact.quantized(plan.name)) for plan in plans]
    return found


def joined(front: Any, body: bytes) -> bytes:
    """Put what a header would say in front, as a line of JSON."""
    return json.dumps(front, default=str).encode() + b"\n" + body


def split(data: bytes) -> tuple[Any, bytes]:
    """Undo ``joined``."""
    front, _, body = data.partition(b"\n")
    return json.loads(front), body


def change(draw: Random, data: bytes) -> bytes:
    """Change the bytes, and sometimes what a header would say of them, but not whose they are."""
    (case, *rest), body = split(data)
    if draw.random() < 0.2:
        rest = change_tree(draw, rest)
    if draw.random() < 0.9:
        body = change_bytes(draw, body)
    return joined([case, *rest], body)


def _count(value: Any, limit: int) -> int:
    """Return a number that a header may have."""
    if type(value) is not int or not 0 <= value <= limit:
        raise UsageError("no header has this")
    return value


def _shape(value: Any, dims: int | None = 2) -> Any:
    if not isinstance(value, list) or len(value) > MAX_DIMS or dims not in (None, len(value)):
        raise UsageError("no header has this")
    shape = tuple(_count(size, MAX_SYMBOLS) for size in value)
    _count(prod(shape), MAX_SYMBOLS)
    return shape


def _hash(*arrays: Symbols) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def _coder_inputs(name: str) -> list[bytes]:
    return [
        joined([s, stream.alphabet, stream.shapes], stream.coded)
        for s, stream in enumerate(streams())
        if stream.pipeline.coder.stage_id == name
    ]


def _read_coder(data: bytes) -> str:
    front, body = split(data)
    if len(front) != 3 or not isinstance(front[2], list):
        raise UsageError("no header has this")
    coder = streams()[front[0]].pipeline.coder
    alphabet, shapes = _count(front[1], MAX_ALPHABET), [_shape(shape) for shape in front[2]]
    _count(sum(map(prod, shapes)), MAX_SYMBOLS)
    if alphabet < 1 or not shapes or not coder.accepts(alphabet):
        raise UsageError("no header has this")
    matrices = coder.decode_matrices(body, shapes=shapes, alphabet=alphabet)
    if [matrix.shape for matrix in matrices] != shapes:
        raise FaultError("other shapes than asked for")
    if any(matrix.size and int(matrix.max()) >= alphabet for matrix in matrices):
        raise FaultError("a symbol beyond the alphabet")
    again = coder.encode_matrices(matrices, alphabet=alphabet)
    if again != body and coder.stage_id not in FREE:
        raise FaultError("two streams for the same symbols")
    return _hash(*matrices)


def _codec_inputs(name: str) -> list[bytes]:
    return [
        joined([s, len(stream.coded)], stream.packed)
        for s, stream in enumerate(streams())
        if stream.pipeline.codec.stage_id == name
    ]


def _read_codec(data: bytes) -> str:
    front, body = split(data)
    if len(front) != 2:
        raise UsageError("no header has this")
    size = _count(front[1], MAX_BYTES)
    decoded = streams()[front[0]].pipeline.codec.decode(body, size=size)
    if len(decoded) != size:
        raise FaultError(f"{len(decoded)} bytes, not {size}")
    return hashlib.sha256(decoded).hexdigest()


def _layout_inputs(name: str) -> list[bytes]:
    return [
        joined([s, m, list(stream.shapes[m])], side)
        for s, stream in enumerate(streams())
        if stream.pipeline.layout.stage_id == name
        for m, side in enumerate(stream.sides)
    ]


def _read_layout(data: bytes) -> str:
    front, side = split(data)
    if len(front) != 3:
        raise UsageError("no header has this")
    stream = streams()[front[0]]
    matrix = stream.matrices[_count(front[1], len(stream.matrices) - 1)].reshape(-1)
    restored = stream.pipeline.layout.inverse(side, matrix, shape=_shape(front[2]))
    if not np.array_equal(np.sort(restored, axis=None), np.sort(matrix)):
        raise FaultError("symbols came or went")
    return _hash(restored)


def _grid_inputs(name: str) -> list[bytes]:
    return [
        joined([t, list(q.shape)], b"".join(part.tobytes() for part in q.parts.values()))
        for t, (quantizer, q) in enumerate(tensors())
        if quantizer.stage_id == name
    ]


def _read_grid(data: bytes) -> str:
    """Dequantize any symbols below their alphabets: coders let no other through."""
    front, body = split(data)
    if len(front) != 2:
        raise UsageError("no header has this")
    quantizer, shape = tensors()[front[0]][0], _shape(front[1], dims=None)
    specs = quantizer.parts(shape)
    total = _count(sum(spec.rows * spec.cols for spec in specs), 8 * MAX_SYMBOLS)
    symbols = np.frombuffer((body + bytes(total))[:total], np.uint8)
    parts, at = {}, 0
    for spec in specs:
        own = symbols[at : at + spec.rows * spec.cols]
        parts[spec.name] = (
            (own.astype(np.int64) % spec.alphabet).astype(np.uint8).reshape(spec.shape)
        )
        at += own.size
    weight = quantizer.dequantize(Quantized(shape, parts))
    if tuple(weight.shape) != shape:
        raise FaultError("another shape than asked for")
    if not isinstance(quantizer, Raw) and not bool(weight.isfinite().all()):
        raise FaultError("a weight is not finite")
    flat = weight.contiguous().reshape(-1)
    return _hash(flat.view(torch.uint8).numpy() if flat.numel() else np.empty(0, np.uint8))


def _targets() -> Iterator[Target]:
    kinds: tuple[tuple[str, Any, Callable[[str], list[bytes]], Callable[[bytes], str]], ...] = (
        ("coder", SYMBOL_CODERS, _coder_inputs, _read_coder),
        ("codec", CODECS, _codec_inputs, _read_codec),
        ("layout", LAYOUTS, _layout_inputs, _read_layout),
        ("grid", QUANTIZERS, _grid_inputs, _read_grid),
    )
    for kind, table, inputs, read in kinds:
        for name in table:
            if name != "lrzip" or shutil.which("lrzip"):
                yield Target(f"{kind}-{name}", partial(inputs, name), change, read)


TARGETS = tuple(_targets())
