"""Tensors of a graph as tensors of torch, and back; nothing is allocated before sizes agree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from artpack.errors import CheckpointError, CorruptError
from artpack.graphs.external import ExternalFiles
from artpack.system.late import torch

if TYPE_CHECKING:
    from onnx import TensorProto
    from torch import Tensor

DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}
"""``TensorProto.DataType`` to a dtype. Others, of 8 bits and less or complex, go as bytes."""

MIN_ELEMENTS = 16
"""Smaller tensors stay in the graph: shapes, axes, bounds."""

_LISTS = {
    "float32": ("float_data", "<f4"),
    "float64": ("double_data", "<f8"),
    "int64": ("int64_data", "<i8"),
    "uint32": ("uint64_data", "<u8"),
    "uint64": ("uint64_data", "<u8"),
}
"""Where small files have elements instead of ``raw_data``, and as what numpy reads them."""

_OTHER_LISTS = ("int32_data", "<i4")
"""The same of all other dtypes; halves are listed as the integers of their bits."""

_DATA = (
    *("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data"),
    *("external_data", "data_location"),
)

_STRING, _EXTERNAL = 8, 1


def is_stored(tensor: TensorProto) -> bool:
    """
    Return whether a tensor is one of the checkpoint's, and not a small constant of the graph.

    Args:
        tensor: As it is in a file.

    Returns:
        Whether it is; strings and segments never are.

    """
    if tensor.data_type in (0, _STRING) or tensor.HasField("segment"):
        return False
    if tensor.data_type not in DTYPES and not _has_bytes(tensor):
        return False
    return bool(math.prod(tensor.dims) >= MIN_ELEMENTS)


def _has_bytes(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == _EXTERNAL or tensor.HasField("raw_data"))


def take(tensor: TensorProto, name: str, external: ExternalFiles) -> Tensor:
    """
    Take the elements out of a tensor of a graph.

    Args:
        tensor: Has no elements afterwards.
        name: For messages.
        external: Reads what lies in another file.

    Returns:
        Of the tensor's shape and dtype; bytes, uint8 and of one axis, where torch has none.

    Raises:
        CheckpointError: It has more or fewer elements than its shape says.

    """
    if any(size < 0 for size in tensor.dims):
        raise CheckpointError(f"{name!r}: a negative size in its shape {list(tensor.dims)}")
    if tensor.data_location == _EXTERNAL:
        data = external.read(tensor, name)
    elif tensor.HasField("raw_data"):
        data = torch.frombuffer(bytearray(tensor.raw_data), dtype=torch.uint8)
    else:
        data = _listed(tensor)
    clear(tensor)
    return _shaped(data, tensor, name)


def _listed(tensor: TensorProto) -> Tensor:
    """Return the bytes of elements that are listed in a field of their type."""
    name = DTYPES[tensor.data_type]
    dtype: torch.dtype = getattr(torch, name)
    field, listed_as = _LISTS.get(name, _OTHER_LISTS)
    listed = np.array(getattr(tensor, field), listed_as)
    if dtype is torch.bool:
        listed = listed != 0
    elif dtype.itemsize < listed.itemsize:
        signed = dtype in (torch.int8, torch.int16)
        listed = listed.astype(f"<{'i' if signed else 'u'}{dtype.itemsize}")
    return torch.from_numpy(listed.view(np.uint8))


def _shaped(data: Tensor, tensor: TensorProto, name: str) -> Tensor:
    if tensor.data_type not in DTYPES:
        return data
    dtype: torch.dtype = getattr(torch, DTYPES[tensor.data_type])
    wanted = math.prod(tensor.dims) * dtype.itemsize
    if data.numel() != wanted:
        raise CheckpointError(
            f"{name!r}: {list(tensor.dims)} {_spelled(dtype)} are {wanted} bytes,"
            f" the file has {data.numel()}"
        )
    if data.storage_offset() % dtype.itemsize:
        data = data.clone()
    return data.view(dtype).reshape(tuple(tensor.dims))


def clear(tensor: TensorProto) -> None:
    """Leave of a tensor its name, shape and type."""
    for field in _DATA:
        tensor.ClearField(field)


def put(tensor: TensorProto, name: str, elements: Tensor) -> None:
    """
    Put elements into a tensor of a graph.

    Args:
        tensor: Has its shape and type.
        name: For messages.
        elements: What :func:`take` gave.

    Raises:
        CorruptError: They are of another shape or dtype.

    """
    dtype: torch.dtype = getattr(torch, DTYPES.get(tensor.data_type, "uint8"))
    fits = tensor.data_type not in DTYPES or tuple(elements.shape) == tuple(tensor.dims)
    if elements.dtype is not dtype or not fits:
        raise CorruptError(
            f"{name!r} is {list(elements.shape)} {_spelled(elements.dtype)},"
            f" the graph has {list(tensor.dims)} {_spelled(dtype)}"
        )
    clear(tensor)
    flat = elements.detach().cpu().contiguous().flatten()
    tensor.raw_data = flat.view(torch.uint8).numpy().tobytes()


def _spelled(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
