"""Decoded numbers as arrays or as tensors, in the dtypes of the checkpoint."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artpack.stages.dtypes import ByName
from artpack.stages.floats import READERS, byte_values, widen
from artpack.stages.symbols import Symbols

NATIVE: ByName[str] = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "complex128": "<c16",
    "complex64": "<c8",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "i1",
    "uint64": "<u8",
    "uint32": "<u4",
    "uint16": "<u2",
    "uint8": "u1",
    "bool": "?",
}
"""What torch calls a dtype, and what numpy does."""


def to_array(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """
    Give numbers a dtype of numpy's.

    Args:
        values: fp32, or elements as strings of bytes.
        dtype: What torch calls the type that they have, or are rounded to.

    Returns:
        The numbers, of the same shape; bfloat16 and float8 as fp32, complex32 as complex64,
        other types that numpy lacks as their bytes.

    """
    if values.dtype.kind == "V":
        return _read_elements(np.ascontiguousarray(values), dtype)
    return ROUNDERS[dtype](values, dtype)


def to_tensor(values: NDArray[Any], dtype: str) -> Any:
    """
    Give numbers a dtype of torch's.

    Args:
        values: fp32, or elements as strings of bytes.
        dtype: What torch calls the type that they have, or are rounded to.

    Returns:
        A tensor of the same shape.

    """
    import torch  # noqa: PLC0415 - only where tensors are asked for

    kind = getattr(torch, dtype)
    if values.dtype.kind != "V":
        return torch.from_numpy(values).to(kind)
    data = np.ascontiguousarray(values).view(np.uint8).ravel()
    return torch.from_numpy(data).view(kind).reshape(values.shape)


def _read_elements(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    if dtype in NATIVE:
        return values.view(NATIVE[dtype])
    data = values.reshape(-1).view(np.uint8).reshape(-1, values.dtype.itemsize)
    if dtype in READERS:
        return widen(data, dtype).reshape(values.shape)
    return ELEMENTS[dtype](data).reshape(values.shape)


def _read_complex(data: Symbols) -> NDArray[Any]:
    return widen(data.reshape(-1, 2), "float16").view(np.complex64)


def _read_whole(data: Symbols) -> NDArray[Any]:
    return data.view(f"<u{data.shape[1]}")


ELEMENTS: ByName[Callable[[Symbols], NDArray[Any]]] = {
    "complex32": _read_complex,
    "bits16": _read_whole,
    "float4_e2m1fn_x2": _read_whole,
    "bits8": _read_whole,
    "bits4x2": _read_whole,
    "bits2x4": _read_whole,
    "bits1x8": _read_whole,
    "int1": _read_whole,
    "int2": _read_whole,
    "int3": _read_whole,
    "int4": _read_whole,
    "int5": _read_whole,
    "int6": _read_whole,
    "int7": _read_whole,
    "uint1": _read_whole,
    "uint2": _read_whole,
    "uint3": _read_whole,
    "uint4": _read_whole,
    "uint5": _read_whole,
    "uint6": _read_whole,
    "uint7": _read_whole,
}


def _round_native(values: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return values.astype(NATIVE[dtype])


def _round_bfloat16(values: NDArray[np.float32], dtype: str) -> NDArray[np.float32]:
    """Round finite numbers to the nearest, ties to even."""
    del dtype
    bits = values.view(np.uint32)
    odd = bits >> np.uint32(16) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16) << np.uint32(16)
    found: NDArray[np.float32] = rounded.view(np.float32)
    return found


def _round_byte(values: NDArray[np.float32], dtype: str) -> NDArray[np.float32]:
    """Round finite numbers to the nearest of a type of one byte, ties to even."""
    levels = byte_values(dtype)[:128]
    levels = levels[np.isfinite(levels)].astype(np.float64)
    # One more level, to which rounds what is too large for the last one.
    levels = np.append(levels, 2 * levels[-1] - levels[-2])
    halves = (levels[1:] + levels[:-1]) / 2
    sizes = np.abs(values).astype(np.float64)
    below, above = (np.searchsorted(halves, sizes, side) for side in ("left", "right"))
    nearest = np.where(below % 2 == 0, below, above)
    levels[-1] = np.nan if dtype == "float8_e4m3fn" else np.inf
    found: NDArray[np.float32] = np.copysign(levels[nearest], values).astype(np.float32)
    return found


ROUNDERS: ByName[Callable[[NDArray[np.float32], str], NDArray[Any]]] = {
    "float64": _round_native,
    "float32": _round_native,
    "float16": _round_native,
    "bfloat16": _round_bfloat16,
    "float8_e4m3fn": _round_byte,
    "float8_e5m2": _round_byte,
}
