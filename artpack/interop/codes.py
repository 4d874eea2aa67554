"""Signed codes with a scale a row, and plain tensors: what most containers are made of."""

import numpy as np
import torch
from torch import Tensor

from artpack.errors import CorruptError, UsageError
from artpack.interop.container import StoredTensor
from artpack.interop.fields import as_tensor
from artpack.quantize import LowRank, Raw, RowInt
from artpack.quantize.grids.floats import Fp8, Fp16, Narrow
from artpack.quantize.grids.raw import DTYPES
from artpack.quantize.matrix_view import matrix_shape
from artpack.quantize.parts import join_bytes, split_bytes
from artpack.quantize.rounding.clips import GivenClip
from artpack.quantize.scales import Fp16Scales
from artpack.stages.symbols import Quantized, Symbols


def row_int(
    codes: object, scales: object, *, bits: int | None, where: str
) -> tuple[RowInt, Quantized]:
    """
    Read integers with one scale a row.

    Args:
        codes: An int8 tensor.
        scales: An fp16 tensor with an element for each row, or without dimensions: one for all.
        bits: Of the grid; None for the fewest, of 5 to 8, that hold the codes.
        where: The tensor's name, for messages.

    Returns:
        The grid and the symbols.

    Raises:
        CorruptError: These are no such tensors, or a code is outside the grid.

    """
    whole = as_tensor(codes, f"{where}: the codes", torch.int8)
    steps = as_tensor(scales, f"{where}: the scales", torch.float16)
    shape = matrix_shape(whole.shape)
    if steps.ndim == 0:
        steps = steps.repeat(shape[0])
    if steps.numel() != shape[0]:
        raise CorruptError(f"{where}: {steps.numel()} scales for {shape[0]} rows")
    grid = RowInt(bits or _fewest_bits(whole), GivenClip())
    parts = {"codes": symbols_of(whole, grid.radius, where), **split_bytes("scales", steps)}
    return grid, Quantized(tuple(whole.shape), parts)


def _fewest_bits(codes: Tensor) -> int:
    largest = int(codes.int().abs().max()) if codes.numel() else 0
    return next((bits for bits in (5, 6, 7) if largest < 1 << (bits - 1)), 8)


def symbols_of(codes: Tensor, radius: int, where: str) -> Symbols:
    """
    Shift signed codes to symbols.

    Args:
        codes: int8, any shape.
        radius: The codes are from minus to plus this.
        where: What to call them in the message.

    Returns:
        uint8, as a matrix.

    Raises:
        CorruptError: A code is outside.

    """
    wide = codes.numpy().astype(np.int16)
    if wide.size and np.abs(wide).max() > radius:
        raise CorruptError(f"{where}: a code is outside of {-radius} to {radius}")
    return (wide + radius).astype(np.uint8).reshape(matrix_shape(codes.shape))


def codes_and_scales(tensor: StoredTensor) -> tuple[Tensor, Tensor]:
    """
    Undo :func:`row_int`.

    Args:
        tensor: In a :class:`RowInt`, or corrected by a :class:`LowRank`, whose own parts
            are left aside.

    Returns:
        int8 of the tensor's shape, and fp16, one-dimensional.

    Raises:
        UsageError: It is in another grid, or its scales are not fp16.

    """
    grid = tensor.quantizer.inner if isinstance(tensor.quantizer, LowRank) else tensor.quantizer
    if not isinstance(grid, RowInt):
        raise UsageError(f"{tensor.name!r}: the format has no place for {grid.label}")
    if not isinstance(grid.scales, Fp16Scales):
        raise UsageError(f"{tensor.name!r}: the format has scales in fp16 only")
    codes = tensor.quantized.parts["codes"].astype(np.int16) - grid.radius
    signed = torch.from_numpy(codes.astype(np.int8)).reshape(tensor.quantized.shape)
    return signed, join_bytes("scales", tensor.quantized.parts, torch.float16)


def plain(name: str, value: object, dtype: str) -> StoredTensor:
    """
    Read a tensor that was not quantized, or only narrowed.

    Args:
        name: Its name.
        value: The tensor.
        dtype: What the container's system makes of an fp16.

    Returns:
        The tensor in the grid of its own type. Types other than fp16 and fp8 stay as
        they are.

    Raises:
        CorruptError: It is no tensor, or of a type that cannot be stored.

    """
    tensor = as_tensor(value, repr(name))
    own = str(tensor.dtype).removeprefix("torch.")
    if own not in DTYPES:
        raise CorruptError(f"{name!r} is {own}, which no artifact holds")
    narrow = {one.torch_dtype: one for one in (Fp16(), Fp8())}.get(tensor.dtype)
    if narrow is None:
        return StoredTensor(name, own, Raw(own), Raw(own).quantize(tensor))
    shape = tuple(tensor.shape)
    planes = {spec.name: spec.shape for spec in narrow.parts(shape)}
    split = split_bytes(next(iter(planes)).partition(".")[0], tensor)
    parts = {plane: split[plane].reshape(planes[plane]) for plane in planes}
    return StoredTensor(name, dtype, narrow, Quantized(shape, parts))


def plain_tensor(tensor: StoredTensor) -> Tensor:
    """
    Undo :func:`plain`.

    Args:
        tensor: In the grid of a floating-point type, or as it is.

    Returns:
        The tensor as a container holds it, of its narrow type.

    Raises:
        UsageError: It is in another grid.

    """
    grid, parts = tensor.quantizer, tensor.quantized.parts
    if not isinstance(grid, Narrow | Raw):
        raise UsageError(f"{tensor.name!r}: the format has no place for {grid.label}")
    if isinstance(grid, Raw):
        return grid.dequantize(tensor.quantized)
    name = next(iter(parts)).partition(".")[0]
    return join_bytes(name, parts, grid.torch_dtype).reshape(tensor.quantized.shape)
