"""The parts of a quantized tensor: received from a stranger, and made of bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from artpack.errors import CorruptError
from artpack.stages.dtypes import BYTES
from artpack.stages.symbols import PartSpec, Quantized, Symbols
from artpack.system.jit import portable
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor


@portable(by=None)
def check_parts(quantized: Quantized, specs: Sequence[PartSpec]) -> None:
    """
    Check that symbols that may come from a stranger have the geometry they must have.

    Args:
        quantized: What is to be dequantized.
        specs: What the quantizer's ``parts(quantized.shape)`` gives.

    Raises:
        CorruptError: The shape is none, a part is missing or not asked for, or has
            the wrong shape, or a symbol is outside its alphabet.

    """
    if not all(0 <= size < 1 << 63 for size in quantized.shape):
        raise CorruptError(f"no tensor has the shape {quantized.shape}")
    names = [spec.name for spec in specs]
    if set(quantized.parts) != set(names):
        raise CorruptError(f"the parts must be {names}, got {list(quantized.parts)}")
    for spec in specs:
        symbols = quantized.parts[spec.name]
        if symbols.dtype != np.uint8 or symbols.shape != spec.shape:
            raise CorruptError(
                f"part {spec.name!r} must be uint8 of shape {spec.shape},"
                f" got {symbols.dtype} of shape {symbols.shape}"
            )
        if symbols.size and symbols.max() >= spec.alphabet:
            raise CorruptError(
                f"part {spec.name!r} has symbol {symbols.max()}, its alphabet is {spec.alphabet}"
            )


def byte_planes(name: str, count: int, dtype: str | torch.dtype) -> tuple[PartSpec, ...]:
    """
    Return the specs of the parts that hold values as they lie in memory.

    One part for each byte of a value, so that bytes of one kind, exponents for
    example, are coded together: the byte shuffle, done once and for all.

    Args:
        name: Name of the values.
        count: Number of values.
        dtype: Their type, or what torch calls it.

    Returns:
        Parts of shape ``(count, 1)``, the least significant byte first:
        ``name.0``, ``name.1`` and so on; just ``name`` for types of one byte.
        bool has an alphabet of 2, which makes any other byte a range error;
        everything else has 256.

    """
    alphabet = 2 if _called(dtype) == "bool" else 256
    return tuple(PartSpec(plane, count, 1, alphabet) for plane in _plane_names(name, dtype))


def _called(dtype: str | torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _plane_names(name: str, dtype: str | torch.dtype) -> list[str]:
    size = BYTES[_called(dtype)]
    return [name] if size == 1 else [f"{name}.{byte}" for byte in range(size)]


def split_bytes(name: str, values: Tensor) -> dict[str, Symbols]:
    """
    Take values apart into the planes of their bytes.

    Args:
        name: Name of the values.
        values: Any shape and dtype, on the CPU.

    Returns:
        The parts that :func:`byte_planes` describes.

    >>> planes = split_bytes("data", torch.tensor([1.0, -2.0], dtype=torch.float16))
    >>> {name: plane.ravel().tolist() for name, plane in planes.items()}
    {'data.0': [0, 0], 'data.1': [60, 192]}

    """
    # The bytes are the host's own: torch is built for little-endian hosts.
    flat = values.detach().reshape(-1).contiguous().view(torch.uint8).numpy()
    rows = flat.reshape(-1, values.dtype.itemsize)
    names = _plane_names(name, values.dtype)
    return {plane: rows[:, byte : byte + 1].copy() for byte, plane in enumerate(names)}


def join_bytes(name: str, parts: Mapping[str, Symbols], dtype: torch.dtype) -> Tensor:
    """
    Undo :func:`split_bytes`.

    Args:
        name: Name of the values.
        parts: The planes, of one length, among others.
        dtype: Type of the values.

    Returns:
        The values, one-dimensional, in memory of their own.

    """
    return torch.from_numpy(join_planes(name, parts, _called(dtype)).ravel()).view(dtype)


def join_planes(name: str, parts: Mapping[str, Symbols], dtype: str) -> Symbols:
    """
    Put the bytes of values next to each other.

    Args:
        name: Name of the values.
        parts: Their planes, of one length, among others.
        dtype: What torch calls their type.

    Returns:
        uint8, ``(count, bytes of a value)``, in memory of its own.

    """
    return np.stack([parts[plane].ravel() for plane in _plane_names(name, dtype)], axis=1)
