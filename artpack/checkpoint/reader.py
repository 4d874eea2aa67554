"""A reader of one tensor after another that keeps no pages of theirs."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artpack.checkpoint.source import Deferred, PackedForm, Source, TensorInfo, reason
from artpack.errors import CheckpointError
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

MAPPED_BYTES = 32 << 20
"""Less is never mapped anew: torch reads the list of all tensors each time it maps a file."""


class TensorReader:
    """
    The tensors of a source, of which little more stays in memory than the largest.

    Pages of a map stay resident once they are touched, so the maps are made
    anew whenever the tensors read from them add up to more than the largest
    one and ``MAPPED_BYTES``. What the caller still holds stays valid, and resident.
    A tensor that must be made is kept while it is read slice by slice.

    Attributes:
        infos: The tensors, in the source's order.
        notes: The source's notes.
        exact: Names of what is kept as it is.
        graph: What the source's tensors were taken out of, if that is one of ONNX.
    """

    def __init__(self, source: Source) -> None:
        """
        Map the source and check that every tensor is plain.

        Args:
            source: Where the tensors are.

        Raises:
            CheckpointError: It cannot be loaded, or a tensor is not plain.

        """
        self._source = source
        self.exact, self.graph = source.exact, source.graph
        self._stamps = [_stamp(file) for file in source.files]
        loaded = source.load()
        for name, tensor in loaded.tensors.items():
            _check_plain(name, tensor)
        self._tensors = loaded.tensors
        largest = max(tensor.nbytes for tensor in loaded.tensors.values())
        self._most_bytes = max(largest, MAPPED_BYTES)
        self._mapped_bytes = 0
        self._made: dict[str, Tensor] = {}
        self.notes = loaded.notes
        self.infos = tuple(
            TensorInfo(name, tuple(tensor.shape), tensor.dtype, packed=_packed(tensor))
            for name, tensor in loaded.tensors.items()
        )

    def read(self, name: str, place: int | tuple[int, ...] | None = None) -> Tensor:
        """
        Read a tensor, or one slice along its first axes.

        Args:
            name: One of ``infos``.
            place: Index along each of these axes; None for the whole tensor.

        Returns:
            Contiguous, on the CPU, for reading only: it may be the source's own memory.

        Raises:
            CheckpointError: The file was changed since it was opened.

        """
        size = self._bytes(name, place)
        if self._mapped_bytes + size > self._most_bytes:
            self._map_anew()
        self._mapped_bytes += size
        view = self._view(name, place).detach()
        return view.cpu().resolve_conj().resolve_neg().contiguous()

    def release(self) -> None:
        """
        Give back the pages of what was read, if they are worth the mapping anew.

        Raises:
            CheckpointError: The file was changed since it was opened.

        """
        if self._mapped_bytes > MAPPED_BYTES:
            self._map_anew()

    def memory(self, name: str) -> tuple[object, ...]:
        """
        Say where a tensor's elements are.

        Args:
            name: One of ``infos``.

        Returns:
            Equal for two names only if they are one and the same tensor.

        """
        tensor = self._tensors[name]
        if isinstance(tensor, Deferred) or not tensor.numel():
            return (name,)
        bits = tensor.is_conj(), tensor.is_neg()
        return tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, bits

    def digest(self, name: str) -> bytes:
        """
        Hash the bytes of a tensor.

        Args:
            name: One of ``infos``.

        Returns:
            SHA-256 of the elements in row-major order, little endian.

        """
        flat = self.read(name).reshape(-1).view(torch.uint8)
        return hashlib.sha256(flat.numpy().data).digest()

    def sha256(self) -> str:
        """
        Hash the source.

        Returns:
            Hexadecimal SHA-256. Of one file: of its bytes. Of several: of the lines
            that ``sha256sum`` prints for them, sorted by name. Of tensors in memory:
            of the name, dtype, shape and digest of each, in order.

        Raises:
            CheckpointError: A file was changed since it was opened.

        """
        if not self._source.files:
            lines = [
                json.dumps([i.name, str(i.dtype), i.shape, self.digest(i.name).hex()]) + "\n"
                for i in self.infos
            ]
            return hashlib.sha256("".join(lines).encode()).hexdigest()
        digests = {file.name: _hash_file(file) for file in self._source.files}
        self._check_unchanged()
        if len(digests) == 1:
            return next(iter(digests.values()))
        lines = [f"{digests[name]}  {name}\n" for name in sorted(digests)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def files(self) -> tuple[Path, ...]:
        """The source's files; none for tensors in memory."""
        return self._source.files

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process maps the files anew by; a source in memory goes with it."""
        return self.__dict__ | {"_tensors": {}, "_made": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the files, if they are the same."""
        self.__dict__ |= state
        self._map_anew()

    def close(self) -> None:
        """Drop the maps; tensors that were read stay valid."""
        self._tensors = {}
        self._made = {}

    def _bytes(self, name: str, place: int | tuple[int, ...] | None) -> int:
        tensor = self._tensors[name]
        axes = 0 if place is None else 1 if isinstance(place, int) else len(place)
        return tensor.nbytes // max(1, math.prod(tensor.shape[:axes]))

    def _view(self, name: str, place: int | tuple[int, ...] | None) -> Tensor:
        tensor = self._tensors[name]
        if isinstance(tensor, Deferred):
            if place is None:
                return tensor.make()
            if name not in self._made:
                self._made = {name: tensor.make()}
            tensor = self._made[name]
        return tensor if place is None else tensor[place]

    def _map_anew(self) -> None:
        # A training run may have put its next checkpoint in the place of this one.
        self._check_unchanged()
        self._made = {}
        self._tensors = self._source.load().tensors
        self._mapped_bytes = 0

    def _check_unchanged(self) -> None:
        for file, stamp in zip(self._source.files, self._stamps, strict=True):
            if _stamp(file) != stamp:
                raise CheckpointError(f"{file}: changed while it was being read; copy it first")


def _packed(tensor: Tensor | Deferred) -> PackedForm | None:
    return tensor.packed if isinstance(tensor, Deferred) else None


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({reason(error)})") from error
    return status.st_ino, status.st_size, status.st_mtime_ns  # the same on all that share it


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_plain(name: str, tensor: Tensor | Deferred) -> None:
    """Refuse a tensor that is more, or less, than its elements."""
    if isinstance(tensor, Deferred):
        return
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        raise CheckpointError(f"{name!r}: a {type(tensor).__name__}; save it as a plain tensor")
    if tensor.is_meta:
        raise CheckpointError(f"{name!r}: on the meta device, without elements")
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        kind = tensor.dtype if tensor.is_quantized else tensor.layout
        raise CheckpointError(f"{name!r}: a {kind} tensor; save it dense")
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise CheckpointError(f"{name!r}: the name is not valid unicode")
