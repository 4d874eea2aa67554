"""
The container of PR 1123: ``torch.save`` of rANS streams, one for each matrix.

Matrices with 4 to 256 levels are scaled by their rows' largest magnitudes, those with
five by a factor a row; everything else is fp16. The archive is not compressed, and its
root folder has the file's name without its last ending.

Source: parameter-golf pull request 1123.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from artpack.errors import CorruptError, UsageError
from artpack.interop.archive import write_archive
from artpack.interop.codes import plain, plain_tensor
from artpack.interop.container import Container, StoredTensor
from artpack.interop.fields import as_dict, as_shape, as_tensor, same, shown
from artpack.interop.pr1123.rans_kernel import decode, encode
from artpack.interop.wrapping import Allowance
from artpack.quantize import RowAsymInt, RowPentanary
from artpack.quantize.matrix_view import matrix_shape
from artpack.quantize.parts import join_bytes, split_bytes
from artpack.stages.symbols import Quantized, histogram

NAME = "rans"
FORMAT_KEY, FORMAT = "__format__", "hybrid_rans_v1"
MATRIX_KEYS = ("rans_data", "rans_counts", "rans_alphas", "rans_shapes", "rans_scales")
PLAIN_KEY = "passthrough"
ALPHABETS: dict[int, RowPentanary | RowAsymInt] = {
    5: RowPentanary(),
    **{1 << bits: RowAsymInt(bits) for bits in range(2, 9)},
}
UNDIVIDED = 4
"""An alphabet up to 5 is read without a division by half of it: its scales are half as large."""


def read(content: dict[str, Any], allowance: Allowance) -> Container:
    """
    Read the content of a container.

    Args:
        content: What was saved.
        allowance: How much may be decoded.

    Returns:
        Its tensors: the matrices, then the others.

    Raises:
        ArtifactError: Something is missing, of the wrong kind, or does not decode.

    """
    if content.keys() != {FORMAT_KEY, *MATRIX_KEYS, PLAIN_KEY} or not same(
        content[FORMAT_KEY], FORMAT
    ):
        raise CorruptError(f"not a container of the format {FORMAT!r}")
    fields = {key: as_dict(content[key], key) for key in MATRIX_KEYS}
    names = list(fields["rans_data"])
    if any(field.keys() != fields["rans_data"].keys() for field in fields.values()):
        raise CorruptError("the fields of the matrices do not have the same names")
    matrices = [
        _read_matrix(name, {key: fields[key][name] for key in MATRIX_KEYS}, allowance)
        for name in names
    ]
    others = as_dict(content[PLAIN_KEY], PLAIN_KEY)
    if clash := set(others) & set(names):
        raise CorruptError(f"{min(clash)!r} is there twice")
    plains = [plain(name, value, "float32") for name, value in others.items()]
    return Container(NAME, (*matrices, *plains))


def _read_matrix(name: str, fields: dict[str, Any], allowance: Allowance) -> StoredTensor:
    where = repr(name)
    data, counts, alphabet, shape, scales = (fields[key] for key in MATRIX_KEYS)
    stream = as_tensor(data, f"{where}: the stream", torch.uint8)
    table = as_tensor(counts, f"{where}: the counts", torch.int32)
    steps = as_tensor(scales, f"{where}: the scales", torch.float16)
    grid = ALPHABETS.get(alphabet) if type(alphabet) is int else None
    if grid is None or table.numel() != alphabet:
        raise CorruptError(f"{where}: {table.numel()} counts, an alphabet of {shown(alphabet)}")
    size = as_shape(shape, f"{where}: the shape", most=allowance.left_bytes)
    rows, cols = matrix_shape(size)
    if len(size) != 2 or steps.numel() != rows:
        raise CorruptError(f"{where}: {steps.numel()} scales for a matrix of {size}")
    allowance.spend(rows * cols, where)
    counted = table.flatten().numpy().astype(np.int64)
    codes = decode(stream.flatten().numpy(), counted, count=rows * cols)
    steps = steps * (UNDIVIDED // 2) if alphabet == UNDIVIDED else steps
    parts = {"codes": codes.reshape(rows, cols), **split_bytes("scales", steps)}
    return StoredTensor(name, "float32", grid, Quantized(size, parts))


def write(container: Container, *, file_name: str) -> bytes:
    """
    Write a container.

    Args:
        container: Tensors in the two grids of the system, and others in fp16.
        file_name: Under which it will be saved: it names the archive's root folder.

    Returns:
        The whole file.

    Raises:
        UsageError: A tensor is in another grid.

    """
    fields: dict[str, dict[str, Any]] = {key: {} for key in MATRIX_KEYS}
    others: dict[str, Tensor] = {}
    for tensor in container.tensors:
        if isinstance(tensor.quantizer, RowAsymInt | RowPentanary):
            for key, value in zip(MATRIX_KEYS, _write_matrix(tensor), strict=True):
                fields[key][tensor.name] = value
        else:
            others[tensor.name] = plain_tensor(tensor)
    content = {FORMAT_KEY: FORMAT, **fields, PLAIN_KEY: others}
    return write_archive(content, file_name=file_name)


def _write_matrix(tensor: StoredTensor) -> tuple[Tensor, Tensor, int, list[int], Tensor]:
    codes, shape = tensor.quantized.parts["codes"], tensor.quantized.shape
    alphabet = tensor.quantizer.parts(shape)[0].alphabet
    if alphabet not in ALPHABETS or len(shape) != 2:
        raise UsageError(
            f"{tensor.name!r}: the format has no place for {tensor.quantizer.label} {shape}"
        )
    counts = np.maximum(histogram(codes, alphabet), 1)
    try:
        stream = torch.from_numpy(encode(codes.ravel(), counts))
    except CorruptError as error:
        raise UsageError(f"{tensor.name!r}: the format cannot hold it: {error}") from error
    scales = join_bytes("scales", tensor.quantized.parts, torch.float16)
    scales = scales / (UNDIVIDED // 2) if alphabet == UNDIVIDED else scales
    table = torch.from_numpy(counts.astype(np.int32))
    return stream, table, alphabet, list(shape), scales
