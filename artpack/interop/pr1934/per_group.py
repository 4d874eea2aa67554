"""
The per-group container of PR 1934: matrices of one role together, each group by ``lrzip``.

::

    "PGRP" | u32 number of streams, 9 | a u32 length for each | the streams

Streams 0 to 6 are the int8 codes of one role in all layers, layer by layer, each matrix
transposed: whole files of ``lrzip -z``, nothing where there is no such matrix. Stream 7
is everything else: ``torch.save`` of entries ``r``, meta ``m`` and shapes ``s``, in
Brotli. Stream 8, in Brotli too, is the order in which the rows of three of the roles
were put first, as u16. Integers are little-endian.

Source: parameter-golf pull request 1934.
"""

import math
import re
from collections.abc import Iterable
from itertools import accumulate, pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from artpack.coding.codecs import Brotli, Lrzip
from artpack.coding.layouts import SimilarRows
from artpack.coding.layouts.rare.permutation import unpack_permutation
from artpack.coding.layouts.rare.similar_rows import MAX_ROWS
from artpack.errors import CorruptError, TruncatedError, UsageError
from artpack.interop.archive import read_archive, write_archive
from artpack.interop.container import Container
from artpack.interop.fields import as_dict, as_shape, check_empty
from artpack.interop.pr1934.gptq_entries import read_entries, write_entries
from artpack.interop.wrapping import Allowance, decode_brotli, decode_lrzip

NAME = "pergroup"
MAGIC = b"PGRP"

SORTED = ("_tok_emb.weight.q", "attn.c_q.weight.q", "mlp.fc.weight.q")
GROUPS = (
    "_tok_emb.weight.q",
    "attn.c_k.weight.q",
    "attn.c_q.weight.q",
    "attn.c_v.weight.q",
    "attn.proj.weight.q",
    "mlp.fc.weight.q",
    "mlp.proj.weight.q",
)
"""In the order of their streams; those of ``SORTED`` with similar rows side by side."""

_LAYER = re.compile(r"blocks\.(\d{1,6})\.(.+)")


def read(data: bytes, allowance: Allowance) -> Container:
    """
    Read a container.

    Args:
        data: The whole file.
        allowance: How much may be decoded.

    Returns:
        Its tensors, under the names that they have outside of banks.

    Raises:
        ArtifactError: It is damaged, cut short or hostile.
        UsageError: The program ``lrzip`` is missing.

    """
    *streams, remainder, permutations = split(data)
    content = as_dict(read_archive(decode_brotli(remainder, allowance)), "the remainder")
    if set(content) != {"r", "m", "s"}:
        raise CorruptError("the remainder must have the keys m, r and s")
    entries, meta = as_dict(content["r"], "r").copy(), as_dict(content["m"], "m")
    shapes = as_dict(content["s"], "s").copy()
    orders = _Orders(decode_brotli(permutations, allowance) if permutations else None)
    names = group_entries(
        f"{n}.q" for n, line in meta.items() if isinstance(line, str) and line.startswith("gptq")
    )
    for group, stream in zip(GROUPS, streams, strict=True):
        found = _read_group(stream, shapes.pop(group, []), allowance)
        if len(found) != len(names[group]):
            raise CorruptError(
                f"group {group!r} has {len(found)} matrices, the meta name {len(names[group])}"
            )
        matrices = [orders.restore(m) for m in found] if group in SORTED else found
        entries |= zip(names[group], map(torch.from_numpy, matrices), strict=True)
    check_empty(shapes, "the list of shapes")
    orders.check_end()
    return Container(NAME, read_entries(entries, meta), banked=True)


def write(container: Container) -> bytes:
    """
    Write a container.

    Args:
        container: Tensors as :func:`artpack.interop.pr1934.gptq_entries.write_entries` takes them.

    Returns:
        The whole file.

    Raises:
        UsageError: A tensor does not fit in, or the program ``lrzip`` is missing.

    """
    entries, meta = write_entries(container.tensors)
    names = group_entries(key for key in entries if key.endswith(".q"))
    permutations: list[NDArray[np.uint16]] = []
    streams, shapes = [], {}
    for group in GROUPS:
        matrices = [entries.pop(name).numpy() for name in names[group]]
        if matrices:
            shapes[group] = [matrix.shape for matrix in matrices]
        if group in SORTED:
            orders = [_similarity_order(matrix, group) for matrix in matrices]
            permutations += orders
            matrices = [matrix[order] for matrix, order in zip(matrices, orders, strict=True)]
        raw = b"".join(matrix.T.tobytes() for matrix in matrices)
        streams.append(Lrzip().encode(raw) if raw else b"")
    remainder = {"r": {name: entries[name] for name in sorted(entries)}, "m": meta, "s": shapes}
    streams.append(Brotli().encode(write_archive(remainder)))
    orders_raw = b"".join(order.tobytes() for order in permutations)
    streams.append(Brotli(window_log=22).encode(orders_raw) if orders_raw else b"")
    lengths = np.array([len(streams), *map(len, streams)], "<u4")
    return MAGIC + lengths.tobytes() + b"".join(streams)


def group_entries(keys: Iterable[str]) -> dict[str, list[str]]:
    """
    Say which entries go into which group.

    Args:
        keys: Names of the entries of codes.

    Returns:
        Group to its entries, by layer; entries without a group are left out.

    >>> keys = ["blocks.10.mlp.fc.weight.q", "blocks.9.mlp.fc.weight.q", "tok_emb.weight.q"]
    >>> group_entries(keys)["mlp.fc.weight.q"]
    ['blocks.9.mlp.fc.weight.q', 'blocks.10.mlp.fc.weight.q']

    """
    layers: dict[str, dict[int, str]] = {group: {} for group in GROUPS}
    for key in keys:
        found = _LAYER.fullmatch(key)
        layer, group = (int(found[1]), found[2]) if found else (0, f"_{key}")
        if group in layers:
            layers[group][layer] = key
    return {group: [held[layer] for layer in sorted(held)] for group, held in layers.items()}


class _Orders:
    """The stream of row orders, taken one after another; None where rows are in their own."""

    def __init__(self, data: bytes | None) -> None:
        if data is not None and len(data) % 2:
            raise CorruptError("the row orders are cut within a number")
        self._left = None if data is None else np.frombuffer(data, "<u2")

    def restore(self, matrix: NDArray[np.int8]) -> NDArray[np.int8]:
        """Return the rows in their own order."""
        if self._left is None:
            return matrix
        order, self._left = np.split(self._left, [len(matrix)])
        if len(order) != len(matrix) or (np.sort(order) != np.arange(len(order))).any():
            raise CorruptError(f"no order of {len(matrix)} rows")
        restored = np.empty_like(matrix)
        restored[order] = matrix
        return restored

    def check_end(self) -> None:
        """Fail if anything is left over."""
        if self._left is not None and self._left.size:
            raise CorruptError(f"{self._left.size} numbers follow the row orders")


def split(data: bytes) -> list[bytes]:
    """
    Take a container apart.

    Args:
        data: The whole file.

    Returns:
        Its nine streams, as they are.

    Raises:
        TruncatedError: The file ends early.
        CorruptError: It says something else about its streams than is there.

    """
    count = len(GROUPS) + 2
    start = len(MAGIC) + 4 + 4 * count
    if len(data) < start:
        raise TruncatedError(f"{NAME}: {len(data)} bytes, the lengths alone take {start}")
    found, *lengths = np.frombuffer(data[len(MAGIC) : start], "<u4").tolist()
    if found != count:
        raise CorruptError(f"{NAME}: {found} streams, not {count}")
    total, held = sum(lengths), len(data) - start
    if total != held:
        kind = TruncatedError if total > held else CorruptError
        raise kind(f"{NAME}: the streams should take {total} bytes, there are {held}")
    ends = [start, *(start + end for end in accumulate(lengths))]
    return [data[begin:end] for begin, end in pairwise(ends)]


def _read_group(stream: bytes, listed: object, allowance: Allowance) -> list[NDArray[np.int8]]:
    """Return the matrices of a group, their rows in the order of the file."""
    if not isinstance(listed, list):
        raise CorruptError("the shapes of a group are no list")
    raw = np.frombuffer(decode_lrzip(stream, allowance) if stream else b"", np.int8)
    shapes = [as_shape(shape, "the shape of a matrix") for shape in listed]
    sizes = [math.prod(shape) for shape in shapes]
    if sum(sizes) != raw.size or any(len(shape) != 2 for shape in shapes):
        raise CorruptError(f"a group of {raw.size} bytes has the shapes {shapes!s:.80}")
    pieces = np.split(raw, np.cumsum(sizes)[:-1]) if sizes else []
    return [
        piece.reshape(cols, rows).T.copy()
        for piece, (rows, cols) in zip(pieces, shapes, strict=True)
    ]


def _similarity_order(codes: NDArray[np.int8], group: str) -> NDArray[np.uint16]:
    rows = len(codes)
    if rows > MAX_ROWS:
        raise UsageError(f"{NAME}: {group!r} has {rows} rows, more than {MAX_ROWS} can be sorted")
    side, _ = SimilarRows().forward((codes.astype(np.int16) + 128).astype(np.uint8))
    return np.array(unpack_permutation(side, rows), "<u2")
