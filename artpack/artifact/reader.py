"""
The reader of an artifact: all of it, or one tensor at a time.

Checks come before allocation: the preamble bounds the header, the header is
checked against itself and the file's size, a stream's checksum is compared
before it is decoded, and a tensor's hash before it is handed out.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

from artpack.artifact import format as fmt
from artpack.artifact.carried import unpack_files
from artpack.artifact.describe import Description, describe
from artpack.artifact.header import Header
from artpack.artifact.header_decoder import decode_header
from artpack.artifact.plan import Member, Plan
from artpack.artifact.writer import HEADER_CODEC, hash_symbols
from artpack.checkpoint import restore
from artpack.coding.pipeline import Coded
from artpack.errors import ArtifactError, CorruptError, TruncatedError
from artpack.stages import Config
from artpack.stages.symbols import Quantized, Symbols
from artpack.system.late import torch
from artpack.system.workers import Threads

if TYPE_CHECKING:
    from torch import Tensor

READ_BYTES = 1 << 20


class Artifact(Mapping[str, "Tensor"]):
    """
    An open artifact: a mapping of names to tensors, and a context manager.

    Streams are decoded when a tensor first needs them, and kept, one byte a
    symbol, until the artifact is closed.

    Attributes:
        header: What the file says about itself.
        preamble: Its sizes.
    """

    def __init__(self, file: BinaryIO, *, max_decoded_bytes: int | None = None) -> None:
        """
        Read and check the preamble and the header.

        Args:
            file: Seekable; closed together with the artifact.
            max_decoded_bytes: Refuse a file whose symbols are more than this; by default
                :func:`artpack.artifact.format.max_decoded_bytes` of its size.

        Raises:
            ArtifactError: The file is not a sound artifact, see errors.py.

        """
        self._file, self._lock = file, Lock()
        self._decoded: dict[int, list[Symbols]] = {}
        size = file.seek(0, io.SEEK_END)
        front = self._read(0, min(size, fmt.PREAMBLE_BYTES))
        self.preamble = fmt.unpack_preamble(front, available_bytes=size)
        self.header = self._read_header()
        self._offsets = self._check_directory(max_decoded_bytes)
        self._index = {tensor.name: t for t, tensor in enumerate(self.header.plan.tensors)}
        self._places = _places(self.header.plan)

    def _read(self, offset: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            data = self._file.read(size)
        if len(data) != size:
            raise TruncatedError(f"{len(data)} of {size} bytes at offset {offset}")
        return data

    def _read_header(self) -> Header:
        stored = self._read(fmt.PREAMBLE_BYTES, self.preamble.header_stored_bytes)
        if fmt.checksum(stored) != self.preamble.header_checksum:
            raise CorruptError("the header's checksum does not match: the file is damaged")
        return decode_header(HEADER_CODEC.decode(stored, size=self.preamble.header_decoded_bytes))

    def _check_directory(self, max_decoded_bytes: int | None) -> list[int]:
        if max_decoded_bytes is None:
            max_decoded_bytes = fmt.max_decoded_bytes(self.preamble.file_bytes)
        plan, records = self.header.plan, self.header.records
        offsets = [fmt.PREAMBLE_BYTES + self.preamble.header_stored_bytes]
        for s, (stream, record) in enumerate(zip(plan.streams, records, strict=True)):
            symbols = sum(rows * cols for rows, cols in plan.shapes(stream.members))
            if record.coded_bytes > fmt.max_coded_bytes(symbols):
                raise CorruptError(f"stream {s} claims {record.coded_bytes} bytes for {symbols}")
            offsets.append(offsets[-1] + record.stored_bytes)
        total, files = self.header.decoded_bytes, self.header.files
        if total > max_decoded_bytes:
            raise CorruptError(
                f"the streams, ties and files decode to {total} bytes,"
                f" the limit is {max_decoded_bytes}: raise the limit if you trust the file"
            )
        end = offsets[-1] + (0 if files is None else files.stored_bytes)
        if end + fmt.TRAILER_BYTES != self.preamble.file_bytes:
            raise CorruptError(f"the streams end at {end}, not at the trailer")
        return offsets

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and forget what was decoded."""
        self._decoded.clear()
        self._file.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the checkpoint's tensors, in order."""
        return self.header.outputs or tuple(self._index)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    # A mapping compares contents; two open files are the same only if they are one.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        size = self.preamble.file_bytes
        return f"<Artifact of {len(self)} tensors, {size:,} bytes>"

    @property
    def model(self) -> Config | None:
        """Config of the model that the weights belong to, if the file says it."""
        return self.header.model

    @property
    def files(self) -> dict[str, bytes]:
        """
        Decode the small files that the artifact carries.

        Returns:
            Relative path, with ``/`` between folders, to content.

        Raises:
            ArtifactError: The file is damaged.

        """
        record = self.header.files
        return {} if record is None else unpack_files(record, self.stored_files)

    @property
    def stored_files(self) -> bytes:
        """The same as they lie in the file, unchecked; empty if there are none."""
        record = self.header.files
        return b"" if record is None else self._read(self._offsets[-1], record.stored_bytes)

    def inspect(self, *, entropy: bool = True) -> Description:
        """
        Account for every byte of the file.

        Args:
            entropy: Decode all of it, for entropies and histograms; otherwise tensors that
                share a stream divide its bytes by their numbers of symbols.

        Returns:
            A row for each tensor, and what belongs to none.

        Raises:
            ArtifactError: The file is damaged.

        """
        return describe(self, entropy=entropy)

    def check_trailer(self) -> None:
        """
        Compare the hash of the whole file with its trailer.

        Raises:
            CorruptError: They differ.

        """
        digest = hashlib.sha256()
        end = self.preamble.file_bytes - fmt.TRAILER_BYTES
        for offset in range(0, end, READ_BYTES):
            digest.update(self._read(offset, min(READ_BYTES, end - offset)))
        if digest.digest() != self._read(end, fmt.TRAILER_BYTES):
            raise CorruptError("the file's hash does not match its trailer: the file is damaged")

    def stored_stream(self, index: int) -> bytes:
        """
        Read a stream as it lies in the file.

        Args:
            index: Position in the directory.

        Returns:
            The bytes.

        Raises:
            CorruptError: They do not match their checksum.

        """
        record = self.header.records[index]
        stored = self._read(self._offsets[index], record.stored_bytes)
        if fmt.checksum(stored) != record.checksum:
            raise CorruptError(f"stream {index}: the checksum does not match: the file is damaged")
        return stored

    def stream(self, index: int) -> list[Symbols]:
        """
        Decode a stream.

        Args:
            index: Position in the directory.

        Returns:
            The symbols of each member, uint8, two-dimensional.

        Raises:
            ArtifactError: The stream does not decode to what the header promises.

        """
        if index not in self._decoded:
            plan, record = self.header.plan, self.header.records[index]
            stream = plan.streams[index]
            self._decoded[index] = stream.pipeline.decode(
                Coded(self.stored_stream(index), record.coded_bytes),
                shapes=plan.shapes(stream.members),
                alphabet=plan.spec(stream.members[0]).alphabet,
            )
        return self._decoded[index]

    def quantized(self, name: str) -> Quantized:
        """
        Decode the symbols of one stored tensor.

        Args:
            name: Name of a stored tensor (a bank's member, not the bank).

        Returns:
            Its symbols, checked against their hash.

        Raises:
            KeyError: There is no such stored tensor.
            ArtifactError: The file is damaged.

        """
        t = self._index[name]
        tensor = self.header.plan.tensors[t]
        parts = {part.name: np.empty(part.shape, np.uint8) for part in tensor.parts}
        for s, m, member in self._places[t]:
            rows = slice(member.first_row, member.first_row + member.rows)
            parts[tensor.parts[member.part].name][rows] = self.stream(s)[m]
        quantized = Quantized(tensor.shape, parts)
        if hash_symbols(quantized) != self.header.hashes[t]:
            raise CorruptError(f"tensor {name!r}: the decoded symbols do not match their hash")
        return quantized

    def stored_tensor(self, name: str, *, dtype: torch.dtype | None = None) -> Tensor:
        """
        Decode one stored tensor.

        Args:
            name: Name of a stored tensor (a bank's member, not the bank).
            dtype: Give floating-point tensors in this dtype instead of their own, but for
                two numbers to a byte, which torch converts to nothing.

        Returns:
            The tensor.

        Raises:
            KeyError: There is no such stored tensor.
            ArtifactError: The file is damaged.

        """
        plan = self.header.plan.tensors[self._index[name]]
        own: torch.dtype = getattr(torch, plan.dtype)
        tensor = plan.quantizer.dequantize(self.quantized(name))
        converts = own.is_floating_point and not plan.dtype.endswith("_x2")
        return tensor.to(dtype if dtype is not None and converts else own)

    def __getitem__(self, name: str) -> Tensor:
        return self.load([name])[name]

    def load(
        self, names: list[str] | None = None, *, dtype: torch.dtype | None = None
    ) -> dict[str, Tensor]:
        """
        Decode some tensors of the checkpoint, or all, on all cores.

        Args:
            names: Which; None for all.
            dtype: Give floating-point tensors in this dtype instead of their own.

        Returns:
            Name to tensor, in the order asked for. Tied names share one tensor.

        Raises:
            KeyError: There is no such tensor.
            ArtifactError: The file is damaged.

        """
        wanted = self.names if names is None else tuple(names)
        ties = {tie.name: tie for tie in self.header.ties}
        banks = {bank.name: bank for bank in self.header.banks}
        made = dict.fromkeys(ties[name].target if name in ties else name for name in wanted)
        stored = [m for name in made for m in (banks[name].members if name in banks else [name])]
        threads = Threads()
        needed = {s for name in stored for s, _, _ in self._places[self._index[name]]}
        # The largest first, so that no core is left idle in the end.
        largest = sorted(needed, key=lambda s: (-self.header.records[s].stored_bytes, s))
        list(threads.map(self.stream, [(s,) for s in largest]))
        made_of = partial(self.stored_tensor, dtype=dtype)
        made_by = threads.map(made_of, [(name,) for name in stored])
        tensors = dict(zip(stored, made_by, strict=True))
        return restore(
            wanted,
            tensors,
            tuple(ties[name] for name in wanted if name in ties),
            tuple(banks[name] for name in made if name in banks),
        )


def _places(plan: Plan) -> list[list[tuple[int, int, Member]]]:
    """List for each tensor the (stream, position in it, member) that its rows come from."""
    places: list[list[tuple[int, int, Member]]] = [[] for _ in plan.tensors]
    for s, stream in enumerate(plan.streams):
        for m, member in enumerate(stream.members):
            places[member.tensor].append((s, m, member))
    return places


def open_artifact(source: Path | bytes, *, max_decoded_bytes: int | None = None) -> Artifact:
    """
    Open an artifact.

    Args:
        source: A file, or the content of one.
        max_decoded_bytes: Refuse a file whose symbols are more than this; by default
            64 MiB and 256 times its size.

    Returns:
        The artifact; close it, or use it in a ``with`` statement.

    Raises:
        ArtifactError: It is not a sound artifact.
        OSError: The file cannot be read.

    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    try:
        return Artifact(file, max_decoded_bytes=max_decoded_bytes)
    except BaseException as error:
        file.close()
        if isinstance(error, ArtifactError) and isinstance(source, Path):
            raise type(error)(f"{source}: {error}") from error
        raise
