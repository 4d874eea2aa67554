"""Tensors with a few words about them, as bytes that are checked before they are read."""

import json
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

MAX_DIRECTORY_BYTES = 1 << 26

DTYPES = {torch.float32: "<f4", torch.float64: "<f8", torch.int32: "<i4"}


def tensor_record(about: Mapping[str, int], tensors: Mapping[str, Tensor]) -> Iterator[bytes]:
    """
    Give a directory in one line of JSON, and then the tensors in its order.

    Args:
        about: What there is to say of them.
        tensors: float32, float64 or int32, on any device.

    Yields:
        The content of a file.

    """
    listed = [[name, DTYPES[one.dtype], list(one.shape)] for name, one in tensors.items()]
    yield json.dumps({"about": about, "tensors": listed}).encode() + b"\n"
    for one in tensors.values():
        yield (
            one.detach().cpu().contiguous().numpy().astype(DTYPES[one.dtype], copy=False).tobytes()
        )


def read_tensor_record(file: Path) -> tuple[dict[str, int], dict[str, Tensor]] | None:
    """
    Read what :func:`tensor_record` gave.

    Args:
        file: Holds it, or something else.

    Returns:
        Words and tensors; None if it is something else. Nothing is read before its size is
        known to be that of the file.

    """
    try:
        with file.open("rb") as opened:
            directory = json.loads(opened.readline(MAX_DIRECTORY_BYTES))
            about, listed = directory["about"], directory["tensors"]
            left = file.stat().st_size - opened.tell()
            if not _is_sound(about, listed, left):
                return None
            return about, {
                name: torch.from_numpy(np.fromfile(opened, dtype, prod(shape)).reshape(shape))
                for name, dtype, shape in listed
            }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_sound(about: Any, listed: Any, size: int) -> bool:
    shapes = [shape for _, _, shape in listed]
    numbers = [*about.values(), *(length for shape in shapes for length in shape)]
    return (
        all(type(one) is int and one >= 0 for one in numbers)
        and all(type(name) is str and dtype in DTYPES.values() for name, dtype, _ in listed)
        and sum(prod(shape) * np.dtype(dtype).itemsize for _, dtype, shape in listed) == size
    )
