"""Sources of tensors: files that can be mapped, and mapped again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from artpack.graphs import Graph
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

MAX_LISTED = 8


@dataclass(frozen=True)
class PackedForm:
    """
    How a file stores a tensor that is dequantized when it is read.

    Attributes:
        name: Of the form, such as ``Q4_K``.
        bytes: Its size in the file.
    """

    name: str
    bytes: int


@dataclass(frozen=True)
class TensorInfo:
    """
    What is known of a tensor without reading it.

    Attributes:
        name: Unique within the checkpoint.
        shape: Its axes; empty for a scalar.
        dtype: Its dtype in the checkpoint.
        stack: What it is a slice of, if the checkpoint has it in a stack of matrices.
        packed: How the file stores it, where that is quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    stack: TensorInfo | None = None
    packed: PackedForm | None = None

    @property
    def weights(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.weights * self.dtype.itemsize

    @property
    def stored_bytes(self) -> int:
        """Size in the file."""
        return self.bytes if self.packed is None else self.packed.bytes


@dataclass(frozen=True, eq=False)
class Deferred:
    """
    A tensor that is made each time it is asked for.

    Attributes:
        shape: Its axes.
        dtype: Its dtype.
        make: Makes it.
        packed: How the file stores it.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor]
    packed: PackedForm

    @property
    def nbytes(self) -> int:
        """Size in memory once it is made."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Loaded:
    """
    All tensors of a source.

    Attributes:
        tensors: Name to tensor, in the source's order.
        notes: What was decided on the way, one line each.
        prefix: What the program that saved them puts before the names of a model's own.
    """

    tensors: Mapping[str, Tensor | Deferred]
    notes: tuple[str, ...] = ()
    prefix: str = ""


@dataclass(frozen=True)
class Source:
    """
    Files, and how to map the tensors in them.

    Attributes:
        files: What ``load`` reads; empty when the tensors are in memory.
        load: Makes new maps of the files. The tensors lie in the maps, so that
            no weight is read before it is touched, and pages that were touched
            are given back when the last tensor of a map is dropped.
        transposed: Names of matrices, or of stacks, of (columns, rows), if the source knows.
        exact: Names of what is kept as it is, whatever a recipe says: codes and scales of
            weights that are quantized already, if the source knows.
        graph: The ONNX graph that the tensors were taken out of; names are its own then.
    """

    files: tuple[Path, ...]
    load: Callable[[], Loaded]
    transposed: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()
    graph: Graph | None = None


def listed(items: Iterable[str]) -> str:
    """
    Join names for a message; only the first few of many.

    Args:
        items: The names.

    Returns:
        One line.

    >>> listed(["a", "b"])
    'a, b'
    >>> listed(str(i) for i in range(12))
    '0, 1, 2, 3, 4, 5, 6, 7 and 4 more'

    """
    names = list(items)
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def reason(error: BaseException) -> str:
    r"""
    Shorten another library's error to a clause of one line.

    Args:
        error: What it raised.

    Returns:
        What the system says, or the error's type and the first sentence of its message.

    >>> reason(ValueError("bad magic. There is more.\nAnd more."))
    'ValueError: bad magic'

    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    first = str(error).partition("\n")[0].partition(". ")[0].rstrip(".:").replace("`", "'")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
