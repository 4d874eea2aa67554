"""Batches of inputs to run a graph on: as it takes them, or cut out of arrays of samples."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.system.arrays import read_arrays

if TYPE_CHECKING:
    from onnx import ModelProto

Batch: TypeAlias = dict[str, NDArray[Any]]
"""Name of an input to what it takes."""

BatchSource: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Iterable[Mapping[str, Any]]
"""
Batches, or arrays that have samples along their first axis, or an ``.npz`` file of such.

An array has as many axes as the input, then each sample is a batch of one; or one more, then
each sample is a batch.
"""


def read_batches(source: BatchSource, model: "ModelProto") -> tuple[Batch, ...]:
    """
    Read the inputs of a graph.

    Args:
        source: Where they are.
        model: The graph.

    Returns:
        One or more batches.

    Raises:
        UsageError: The file cannot be read, or they are not the graph's inputs.

    """
    wanted = _ranks(model)
    if isinstance(source, str | os.PathLike):
        source = load_arrays(Path(source))
    cut = _cut(source, wanted) if isinstance(source, Mapping) else source
    batches = tuple(_arrays(batch, wanted) for batch in cut)
    if not batches:
        raise UsageError("`calibration_batches`: there are none")
    return batches


def hash_batches(batches: Iterable[Batch]) -> str:
    """Hash names, shapes and values of batches, in hexadecimal."""
    whole = hashlib.sha256()
    for batch in batches:
        for name, array in sorted(batch.items()):
            whole.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()


def spread(batches: tuple[Batch, ...], count: int) -> tuple[Batch, ...]:
    """Return so many of the batches, spread evenly; all if there are no more."""
    return batches[:: -(-len(batches) // count)]


def _ranks(model: "ModelProto") -> dict[str, int | None]:
    """Return the inputs that have to be given, and how many axes they have."""
    known = {tensor.name for tensor in model.graph.initializer}
    kinds = {one.name: one.type.tensor_type for one in model.graph.input if one.name not in known}
    return {
        name: len(kind.shape.dim) if kind.HasField("shape") else None
        for name, kind in kinds.items()
    }


def _cut(arrays: Mapping[str, Any], ranks: Mapping[str, int | None]) -> Iterator[Batch]:
    """Yield sample after sample."""
    found = {name: np.asarray(array) for name, array in arrays.items()}
    counts = {name: len(array) if array.ndim else 0 for name, array in found.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise UsageError(f"`calibration_batches`: each array has as many samples, got {said}")
    for i in range(max(counts.values(), default=0)):
        yield {
            name: array[i : i + 1] if array.ndim == ranks.get(name) else array[i]
            for name, array in found.items()
        }


def _arrays(batch: object, wanted: Mapping[str, int | None]) -> Batch:
    """Check a batch as far as that goes before the graph is run."""
    if not isinstance(batch, Mapping):
        raise UsageError(
            "`calibration_batches`: a graph takes arrays by the names of its inputs,"
            f" got {type(batch).__name__}"
        )
    if batch.keys() != wanted.keys():
        raise UsageError(
            f"`calibration_batches`: the graph has the inputs {', '.join(wanted)},"
            f" got {', '.join(map(str, batch)) or 'none'}"
        )
    found = {str(name): np.asarray(array) for name, array in batch.items()}
    for name, array in found.items():
        if array.dtype.kind not in "fiub":
            raise UsageError(f"`calibration_batches`: {name!r} is {array.dtype}, and no numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UsageError(f"`calibration_batches`: {name!r} has a value that is not finite")
    return found


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """
    Read named arrays.

    Args:
        path: An ``.npz`` file.

    Returns:
        Name to array.

    Raises:
        UsageError: It cannot be read, is damaged, or holds objects.

    """
    try:
        return read_arrays(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
