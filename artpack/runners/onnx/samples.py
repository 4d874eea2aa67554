"""Inputs of a graph to run it on: arrays by name, their first axis the samples."""

import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError

InputSource: TypeAlias = str | os.PathLike[str] | Mapping[str, NDArray[Any]]
"""Arrays by the names of a graph's inputs, or an ``.npz`` file of them."""


@dataclass(frozen=True, eq=False)
class Samples:
    """
    What a graph is run on.

    Attributes:
        arrays: Name of an input to its values, samples along the first axis: at least one.
            ``(samples, *shape)`` for an input of that shape; if the array has as many axes as
            the input, a sample is a batch of one.
    """

    arrays: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return min(len(array) for array in self.arrays.values())

    def take(self, count: int) -> "Samples":
        """Return so many of the samples, spread evenly; all if there are fewer."""
        picked = np.arange(len(self))[:: -(-len(self) // max(1, count))]
        return Samples({name: array[picked] for name, array in self.arrays.items()})

    @property
    def sha256(self) -> str:
        """Hash of names, shapes and values, in hexadecimal."""
        whole = hashlib.sha256()
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name])
            whole.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            whole.update(array.data)
        return whole.hexdigest()


def read_samples(source: InputSource) -> Samples:
    """
    Read the inputs of a graph.

    Args:
        source: Arrays, or the file that has them.

    Returns:
        The samples.

    Raises:
        UsageError: The file cannot be read, or arrays are not samples.

    """
    arrays = source if isinstance(source, Mapping) else _load(Path(source))
    found = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in found.items():
        if array.dtype.kind not in "fiub" or not array.ndim or not len(array):
            raise UsageError(
                f"`calibration_inputs`: {name!r} is {array.dtype} {list(array.shape)}:"
                " numbers are needed, samples along the first axis"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UsageError(f"`calibration_inputs`: {name!r} has a value that is not finite")
    counts = {name: len(array) for name, array in found.items()}
    if len(set(counts.values())) != 1:
        said = ", ".join(f"{name} {count}" for name, count in counts.items()) or "no arrays"
        raise UsageError(f"`calibration_inputs`: as many samples of each are needed, got {said}")
    return Samples(found)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.lib.npyio.NpzFile):
            with archive:
                return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: a damaged .npz file, or none") from error
    raise UsageError(f"{path}: one array, and an .npz file of named ones is needed")
