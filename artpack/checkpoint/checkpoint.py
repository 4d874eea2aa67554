"""Checkpoints: opened from files or made from a state dict, and restored from what was stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from artpack.checkpoint.banks import Bank, close_bank, find_banks, open_bank
from artpack.checkpoint.prefixes import strip_given, strip_prefixes
from artpack.checkpoint.reader import TensorReader
from artpack.checkpoint.repository import refuse_adapter
from artpack.checkpoint.sharded import (
    INDEX_SUFFIX,
    choose_file,
    file_source,
    index_source,
    refuse_key,
)
from artpack.checkpoint.sniff import Kind, sniff
from artpack.checkpoint.source import Loaded, Source, TensorInfo
from artpack.checkpoint.state_dict import only_tensors
from artpack.checkpoint.ties import Tie, find_ties
from artpack.errors import CorruptError, UsageError
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class Checkpoint:
    """
    Ordered, named tensors, read one at a time; a context manager.

    Attributes:
        names: All names that the model knows, in the checkpoint's order: ties
            and banks among them, slices of banks not.
        tensors: What is to be stored, in the same order: banks opened, ties dropped.
        ties: Names that mean a tensor of another name.
        banks: Tensors that are stored as their slices.
        exact: Names of tensors that are kept as they are, whatever a recipe says.
        graph: The ONNX graph that they were taken out of, or None.
        notes: What was decided on the way, one line each.
    """

    def __init__(
        self,
        source: Source | TensorReader,
        *,
        notes: Iterable[str] = (),
        transposed: Collection[str] = (),
    ) -> None:
        """
        Find ties and banks.

        Args:
            source: Where the tensors are.
            notes: What was decided before.
            transposed: Which tensors are matrices, or stacks, of (columns, rows): they are
                stored as (rows, columns), as whatever multiplies with them sees them.

        Raises:
            CheckpointError: The source is not usable.

        """
        self._reader = TensorReader(source) if isinstance(source, Source) else source
        self._closed = False
        self.exact, self.graph = self._reader.exact, self._reader.graph
        self.names = tuple(info.name for info in self._reader.infos)
        self.ties = find_ties(self._reader)
        tied = {tie.name for tie in self.ties}
        untied = [info for info in self._reader.infos if info.name not in tied]
        self.banks = find_banks(untied, self.names, transposed)
        self._turned = {member for bank in self.banks if bank.transposed for member in bank.members}
        opened = list(_open_banks(untied, self.banks))
        self.tensors = tuple(info for info, _ in opened)
        self._places = {info.name: place for info, place in opened}
        self.notes = (*notes, *self._reader.notes)

    def read(self, name: str) -> Tensor:
        """
        Read one stored tensor.

        Nothing is kept: as long as the caller drops one tensor before it asks for
        the next, no more of the files is resident than the largest tensor, or 32 MiB.

        Args:
            name: One of ``tensors``.

        Returns:
            Of the dtype and shape in ``tensors``; contiguous, on the CPU, and for
            reading only: it may be memory of the file or of the state dict.

        Raises:
            UsageError: There is no such tensor, or the checkpoint is closed.
            CheckpointError: A file was changed since it was opened.

        """
        if self._closed:
            raise UsageError(f"{name!r}: the checkpoint is closed")
        if name not in self._places:
            raise UsageError(f"no stored tensor {name!r}; see Checkpoint.tensors")
        tensor = self._reader.read(*self._places[name])
        return tensor.T.contiguous() if name in self._turned else tensor

    def oriented(self, transposed: Collection[str]) -> Checkpoint:
        """
        Return the same tensors, some matrices of them stored transposed.

        Args:
            transposed: Names of matrices, or of stacks, of (columns, rows).

        Returns:
            A checkpoint that reads from this one's files; close either.

        """
        notes = self.notes[: len(self.notes) - len(self._reader.notes)]
        return Checkpoint(self._reader, notes=notes, transposed=transposed)

    @property
    def files(self) -> tuple[Path, ...]:
        """What it is read from; nothing for tensors in memory."""
        return self._reader.files

    def release(self) -> None:
        """
        Give back the memory of tensors that were read and dropped, sooner than the next read would.

        Raises:
            CheckpointError: A file was changed since it was opened.

        """
        self._reader.release()

    @cached_property
    def sha256(self) -> str:
        """Hash of the source in hexadecimal, see :meth:`TensorReader.sha256`."""
        if self._closed:
            raise UsageError("sha256: the checkpoint is closed")
        return self._reader.sha256()

    @cached_property
    def weights_sha256(self) -> str:
        """Hash of what is to be stored, in hexadecimal: the same in whatever file it lies."""
        whole = hashlib.sha256()
        for info in self.tensors:
            elements = self.read(info.name).reshape(-1).view(torch.uint8).numpy().data
            digest = hashlib.sha256(elements).hexdigest()
            whole.update(json.dumps([info.name, str(info.dtype), info.shape, digest]).encode())
        return whole.hexdigest()

    def close(self) -> None:
        """Let go of the files; tensors that were read stay valid."""
        self._closed = True
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _open_banks(
    infos: Iterable[TensorInfo], banks: Iterable[Bank]
) -> Iterator[tuple[TensorInfo, tuple[str, tuple[int, ...] | None]]]:
    """Give each stored tensor with the name and the index where the reader has it."""
    named = {bank.name: bank for bank in banks}
    for info in infos:
        if info.name not in named:
            yield info, (info.name, None)
            continue
        bank = named[info.name]
        places = product(*map(range, bank.front))
        for part, place in zip(open_bank(info, bank), places, strict=True):
            yield part, (info.name, place)


def open_checkpoint(
    path: Path, *, key: str | None = None, strip_prefix: str | None = None
) -> Checkpoint:
    """
    Open a file or folder of weights.

    Args:
        path: A file of ``torch.save``, a safetensors file, a GGUF file, an ONNX
            graph, an index of shards (``*.index.json``), or a folder that holds one of them.
            Files are told by their content, not by their names.
        key: Where in a file of ``torch.save`` the state dict is, dots between
            the levels; None to look under the usual keys, see
            :data:`artpack.checkpoint.state_dict.USUAL_KEYS`.
        strip_prefix: What else to take off the names that begin with it: ``model.``.

    Returns:
        The checkpoint; close it, or use it in a ``with`` statement. The prefixes
        ``module.`` and ``_orig_mod.`` and their like are gone from its names.

    Raises:
        CheckpointError: It is not a usable checkpoint.
        UsageError: There is nothing under the key, the format has no keys, or no name
            begins with the prefix.

    """
    file = choose_file(path) if path.is_dir() else path
    refuse_adapter(file)
    source = _source(file, key)
    notes = () if file == path else (f"took {file.name} of the folder",)

    if source.graph is not None and strip_prefix is not None:
        raise UsageError(f"`strip_prefix`: the names in {file.name} are its own; leave it out")

    def load() -> Loaded:
        loaded = source.load() if source.graph is not None else strip_prefixes(source.load())
        return loaded if strip_prefix is None else strip_given(loaded, strip_prefix)

    opened = replace(source, load=load)
    return Checkpoint(opened, notes=notes, transposed=source.transposed)


def checkpoint_files(path: Path) -> tuple[Path, ...]:
    """
    List what opening a folder or an index of shards would read.

    Args:
        path: What :func:`open_checkpoint` takes.

    Returns:
        The files with weights, the index included; none if it is neither.

    Raises:
        CheckpointError: There are no weights, or nobody can say which.

    """
    file = choose_file(path) if path.is_dir() else path
    if not file.name.endswith(INDEX_SUFFIX):
        return (file,) if file != path else ()
    return (file, *index_source(file).files)


def _source(file: Path, key: str | None) -> Source:
    named_index = file.name.endswith(INDEX_SUFFIX)
    if sniff(file) is Kind.INDEX or (named_index and sniff(file) is None):
        refuse_key(key, file)
        return index_source(file)
    return file_source(file, key=key)


def from_state_dict(state_dict: Mapping[str, Tensor]) -> Checkpoint:
    """
    Make a checkpoint of tensors in memory.

    Args:
        state_dict: Name to tensor, on any device. Entries that are not tensors
            are left out, and noted. Names are kept as they are.

    Returns:
        The checkpoint. It reads the tensors when asked, so they must not change.

    Raises:
        CheckpointError: There are no tensors, or one of them is not plain.

    >>> import torch
    >>> embedding = torch.zeros(4, 2)
    >>> checkpoint = from_state_dict({"lm_head.weight": embedding, "wte.weight": embedding})
    >>> [info.name for info in checkpoint.tensors]
    ['wte.weight']
    >>> checkpoint.ties
    (Tie(name='lm_head.weight', target='wte.weight'),)

    """
    loaded = only_tensors(state_dict, "state dict")
    return Checkpoint(Source((), lambda: loaded))


def restore(
    names: Iterable[str],
    tensors: Mapping[str, Tensor],
    ties: Iterable[Tie],
    banks: Iterable[Bank],
) -> dict[str, Tensor]:
    """
    Make the model's tensors out of the stored ones.

    Args:
        names: Which, and in what order.
        tensors: Stored name to tensor: at least what the names, ties and banks need.
        ties: As the checkpoint had them.
        banks: As the checkpoint had them.

    Returns:
        Name to tensor. Tied names share one tensor.

    Raises:
        CorruptError: A name leads to no tensor, or the slices of a bank do not fit.

    >>> import torch
    >>> list(restore(["b", "a"], {"a": torch.zeros(2)}, [Tie("b", "a")], []))
    ['b', 'a']

    """
    made = dict(tensors) | {bank.name: close_bank(bank, tensors) for bank in banks}
    target = {tie.name: tie.target for tie in ties}
    restored = {}
    for name in names:
        origin = target.get(name, name)
        if origin not in made:
            raise CorruptError(f"{name!r}: there is no stored tensor {origin!r}")
        restored[name] = made[origin]
    return restored
