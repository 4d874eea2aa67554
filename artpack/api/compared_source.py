"""Artifacts and checkpoints as one thing: tensors under the model's names, with their bytes."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from artpack.artifact.reader import Artifact, open_artifact
from artpack.artifact.weights import is_artifact
from artpack.checkpoint import (
    Bank,
    Checkpoint,
    TensorInfo,
    checkpoint_files,
    open_checkpoint,
    restore,
)
from artpack.checkpoint.repository import snapshot_of
from artpack.errors import CheckpointError
from artpack.quantize.grids.raw import SHORT


@dataclass(frozen=True, eq=False)
class ComparedSource:
    """
    An open file.

    Attributes:
        name: Its path.
        file_bytes: Its size.
        weights: Number of weights.
        sizes: Name to stored bytes, in the file's order; 0 for a tie.
        grids: Name to what weights are stored as; banks of several are left out.
        read: Name to tensor.
        notes: What was decided on the way, one line each.
    """

    name: str
    file_bytes: int
    weights: int
    sizes: Mapping[str, int]
    grids: Mapping[str, str]
    read: Callable[[str], Tensor]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> Collection[str]:
        """Names of all tensors."""
        return self.sizes.keys()


@contextmanager
def open_compared(path: Path) -> Iterator[ComparedSource]:
    """
    Open an artifact or a checkpoint.

    Args:
        path: The file, or the folder.

    Yields:
        It, closed afterwards.

    Raises:
        ArtifactError: An artifact is damaged.
        CheckpointError: It is not a usable checkpoint.

    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder")
    if path.is_file() and is_artifact(path):
        with open_artifact(path) as artifact:
            yield _of_artifact(str(path), artifact)
        return
    found = snapshot_of(path)
    with open_checkpoint(found) as checkpoint:
        files = checkpoint_files(found) or (found,)
        yield _of_checkpoint(str(path), sum(file.stat().st_size for file in files), checkpoint)


def _of_artifact(name: str, artifact: Artifact) -> ComparedSource:
    described = artifact.inspect()
    rows = described.tensors
    banks = {bank.name: bank for bank in artifact.header.banks}
    ties = {tie.name for tie in artifact.header.ties}
    return ComparedSource(
        name,
        described.file_bytes,
        described.weights,
        _by_model(artifact.names, {row.name: row.stored_bytes for row in rows}, banks, ties),
        {row.name: row.grid for row in rows},
        artifact.__getitem__,
    )


def _of_checkpoint(name: str, file_bytes: int, checkpoint: Checkpoint) -> ComparedSource:
    banks = {bank.name: bank for bank in checkpoint.banks}
    ties = {tie.name: tie.target for tie in checkpoint.ties}

    def read(wanted: str) -> Tensor:
        own = ties.get(wanted, wanted)
        bank = banks.get(own)
        members = (own,) if bank is None else bank.members
        stored = {member: checkpoint.read(member) for member in members}
        return restore([own], stored, [], [] if bank is None else [bank])[own]

    infos = checkpoint.tensors
    return ComparedSource(
        name,
        file_bytes,
        sum(info.weights for info in infos),
        _by_model(checkpoint.names, {info.name: info.stored_bytes for info in infos}, banks, ties),
        {info.name: _form(info) for info in infos},
        read,
        checkpoint.notes,
    )


def _by_model(
    names: Collection[str],
    stored: Mapping[str, int],
    banks: Mapping[str, Bank],
    ties: Collection[str],
) -> dict[str, int]:
    """Add up stored bytes under the names that the model knows."""

    def size(name: str) -> int:
        members = banks[name].members if name in banks else (name,)
        return 0 if name in ties else sum(stored[member] for member in members)

    return {name: size(name) for name in names}


def _form(info: TensorInfo) -> str:
    if info.packed is not None:
        return info.packed.name
    name = str(info.dtype).removeprefix("torch.")
    return SHORT.get(name, name)
