"""
Calibrations: second moments of inputs and of output_covariances, in one file.

A calibration belongs to the weights that it was collected with. Its fingerprint says
which these are, so that a stale one is refused instead of quietly spoiling a file.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.matrix_view import matrix_shape
from artpack.stages import Config
from artpack.stages.parsing import parse_json
from artpack.system.atomic import write_atomically

FORMAT = "artpack-calibration-1"
KINDS = ("hessians", "row_information", "lookup_information", "output_covariances")
"""Fields of tensors; in the file they are named ``KIND/STORED NAME``."""

CHECKED_ROWS = 128
"""Rows that are checked at a time."""

ROUNDING = 1e-3
"""Share by which sums of products in float32 may be off."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """
    Statistics of a model's tensors on some tokens.

    Attributes:
        hessians: Stored tensor (rows, cols) to the mean of ``x x'``, where x is what it
            multiplies: float32 (cols, cols), exactly symmetric. An expert's is the mean over
            its own tokens, a looped layer's that over all its visits; a tied embedding's is
            the output head's.
        row_information: Stored tensor to the mean over tokens of the squared gradient at
            each of its outputs, float32 (rows,): the diagonal of the true Fisher, as
            labels are drawn from the model. Empty if it was not collected.
        lookup_information: Stored table (rows, dim) to the squared gradient of what a row
            gave out, summed over the positions that look it up, over dim and tokens:
            float32 (rows,). Half of it times a row's squared error is about the loss a
            token that the error costs.
        tokens: Number of tokens.
        fingerprint: ``weights_sha256``, ``model_sha256``, ``tokens_sha256`` and
            ``settings``.
        output_covariances: Stored tensor to the mean over tokens of ``g g'``, where g is the
            gradient at its outputs: float32 (rows, rows), exactly symmetric, its diagonal
            ``row_information``. Only of tensors with at most ``MAX_ROWS`` rows: not of a head.
        notes: What was decided when it was collected, one line each; not kept in a file.
    """

    hessians: Mapping[str, Tensor]
    row_information: Mapping[str, Tensor]
    lookup_information: Mapping[str, Tensor]
    tokens: int
    fingerprint: Config
    output_covariances: Mapping[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The file that its tensors are read from whenever they are asked for, if they are."""
        return (self.hessians.path,) if isinstance(self.hessians, _Stored) else ()

    def in_memory(self) -> "Calibration":
        """Return the same, nothing of it in a file."""
        kinds: dict[str, Any] = {kind: dict(getattr(self, kind)) for kind in KINDS}
        return replace(self, **kinds)

    def check(self) -> None:
        """
        Check that every tensor can be what it says it is.

        Raises:
            UsageError: One is not finite, not of its kind's shape or dtype, has a negative
                element where squares are summed, is not symmetric, or is all zero.

        """
        for kind in KINDS:
            for name, tensor in getattr(self, kind).items():
                if fault := _fault(kind, tensor):
                    raise UsageError(f"{f'{kind}/{name}'!r} {fault}: collect it again")

    def check_fit(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        weights_sha256: str,
        model_sha256: str | None = None,
    ) -> None:
        """
        Check that this was collected with certain weights.

        Args:
            shapes: Stored name to shape, of the weights.
            weights_sha256: Their hash, as ``Checkpoint.weights_sha256`` has it.
            model_sha256: The model's, as :func:`hash_config` makes it; not compared if None.

        Raises:
            UsageError: It was not, or a tensor is not of the shape that it is for.

        """
        if self.fingerprint.get("weights_sha256") != weights_sha256:
            raise UsageError("the calibration is for other weights: collect it again")
        if model_sha256 not in (None, self.fingerprint.get("model_sha256")):
            raise UsageError("the calibration is for another model: collect it again")
        for kind in KINDS:
            for name, tensor in getattr(self, kind).items():
                if tuple(tensor.shape) != _shape(kind, shapes.get(name, ())):
                    raise UsageError(
                        f"the calibration has {kind} {list(tensor.shape)} for {name!r},"
                        f" which is {list(shapes.get(name, ()))} here: collect it again"
                    )


def _shape(kind: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape of a kind's tensor for a matrix or a kernel; None for a vector."""
    if len(shape) < 2:
        return None
    rows, cols = matrix_shape(shape)
    if kind == "output_covariances":
        return rows, rows
    return (cols, cols) if kind == "hessians" else (rows,)


def _fault(kind: str, tensor: Tensor) -> str | None:
    """Say what is wrong with a tensor of sums of squares, or of products; None if nothing."""
    squares = kind in ("row_information", "lookup_information")
    if tensor.dtype is not torch.float32 or tensor.ndim != (1 if squares else 2):
        return f"has no place in a calibration: {tensor.dtype} {list(tensor.shape)}"
    if not bool(tensor.isfinite().all()):
        return "is not finite"
    if tensor.numel() and not bool(tensor.any()):
        return "is all zero, as if no token had reached it"
    if squares:
        return "has a negative element" if bool((tensor < 0).any()) else None
    return _fault_of_products(tensor)


def _fault_of_products(tensor: Tensor) -> str | None:
    if tensor.shape[0] != tensor.shape[1]:
        return f"is of the shape {list(tensor.shape)}, not square"
    if bool((tensor.diagonal() < 0).any()):
        return "has a negative element on its diagonal"
    # No product of two inputs is larger than the roots of their squares allow.
    # Squares of inputs near 1e-23 are 0 in float32, their products with others are not.
    roots = tensor.diagonal().double().clamp(min=torch.finfo(torch.float32).tiny).sqrt().float()
    for low in range(0, len(tensor), CHECKED_ROWS):
        part = slice(low, low + CHECKED_ROWS)
        rows, largest = tensor[part], roots[part, None] * roots
        if bool(((rows - tensor.T[part]).abs() > ROUNDING * largest).any()):
            return "is not symmetric"
        if bool((rows.abs() > (1 + ROUNDING) * largest).any()):
            return "has a product larger than its squares allow"
    return None


def hash_config(config: Config) -> str:
    """
    Hash a configuration.

    Args:
        config: Any JSON.

    Returns:
        SHA-256 in hexadecimal; the order of keys does not matter.

    >>> hash_config({"a": 1, "b": 2}) == hash_config({"b": 2, "a": 1})
    True

    """
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def hash_calibration(calibration: Calibration) -> str:
    """
    Hash all that a calibration holds.

    Args:
        calibration: Any.

    Returns:
        SHA-256 in hexadecimal; the order of names does not matter.

    """
    about: Config = {"tokens": calibration.tokens, "fingerprint": calibration.fingerprint}
    whole = hashlib.sha256(hash_config(about).encode())
    for kind in KINDS:
        tensors = getattr(calibration, kind)
        for name in sorted(tensors):  # one at a time: they may lie in a file
            tensor = tensors[name]
            whole.update(json.dumps([kind, name, tensor.shape]).encode())
            whole.update(tensor.contiguous().numpy().data)
    return whole.hexdigest()


def write_calibration(path: Path, calibration: Calibration) -> int:
    """
    Write a calibration as one safetensors file, whole or not at all.

    Args:
        path: The file.
        calibration: Its content.

    Returns:
        The number of bytes written.

    Raises:
        OSError: The folder cannot be written to.

    """
    return write_atomically(path, _serialize(calibration))


def _serialize(calibration: Calibration) -> Iterator[bytes]:
    """Give the file tensor by tensor, so that it is never in memory as a whole."""
    assert sys.byteorder == "little"
    tensors = {
        f"{kind}/{name}": tensor
        for kind in KINDS
        for name, tensor in getattr(calibration, kind).items()
    }
    header: Config = {
        "__metadata__": {
            "format": FORMAT,
            "tokens": str(calibration.tokens),
            "fingerprint": json.dumps(calibration.fingerprint, sort_keys=True),
        }
    }
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for tensor in tensors.values():
        yield tensor.contiguous().numpy().tobytes()


Stamp = tuple[int, ...]
"""Tells one content of a file from another, on all machines that share it."""


def read_calibration(path: Path) -> Calibration:
    """
    Read a calibration.

    Its tensors are checked, and from then on mapped whenever they are asked for: what
    nobody holds any more takes no memory.

    Args:
        path: What :func:`write_calibration` wrote.

    Returns:
        The calibration. Whether it fits some weights is for :meth:`Calibration.check_fit`.
        The file must stay as it is while tensors are read: a change is a ``UsageError``.

    Raises:
        UsageError: It is missing, damaged, something else, or holds what no tokens could
            have left there, see :meth:`Calibration.check`.

    """
    if not path.is_file():
        raise UsageError(f"{path}: no such calibration file; artpack calibrate writes one")
    stamp = _stamp(path)
    metadata, names = _read_directory(path)
    if metadata.get("format") != FORMAT:
        raise UsageError(f"{path}: not a calibration file of artpack calibrate")
    try:
        tokens, fingerprint = (parse_json(metadata[key]) for key in ("tokens", "fingerprint"))
    except (KeyError, UsageError) as error:
        raise UsageError(f"{path}: a damaged calibration file; collect it again") from error
    if type(tokens) is not int or tokens < 1 or not isinstance(fingerprint, dict):
        raise UsageError(f"{path}: a damaged calibration file; collect it again")
    stored: dict[str, Any] = {kind: _Stored(path, stamp, kind, names) for kind in KINDS}
    for full in names:
        if full.partition("/")[0] not in KINDS:
            raise UsageError(f"{path}: {full!r} has no place in a calibration file")
    calibration = Calibration(**stored, tokens=tokens, fingerprint=fingerprint)
    try:
        calibration.check()
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return calibration


def _read_directory(path: Path) -> tuple[dict[str, str], list[str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, list(file.keys())
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path}: a damaged calibration file; collect it again") from error


class _Stored(Mapping[str, Tensor]):
    """Tensors of one kind in a file."""

    def __init__(self, path: Path, stamp: Stamp, kind: str, names: Sequence[str]) -> None:
        self.path, self._stamp, self._kind = path, stamp, kind
        self._names = [name[len(kind) + 1 :] for name in names if name.startswith(f"{kind}/")]

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        with safe_open(self.path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(f"{self._kind}/{name}")
        if _stamp(self.path) != self._stamp:
            raise UsageError(f"{self.path}: changed while it was being used; start again")
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
