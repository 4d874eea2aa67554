"""The weights of an artifact or of a raw checkpoint, all at once and by their own names."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from artpack.artifact.format import MAGIC
from artpack.artifact.reader import Artifact, open_artifact
from artpack.checkpoint import open_checkpoint, restore
from artpack.stages import Config


@dataclass(frozen=True, eq=False)
class Weights:
    """
    What a model is built of.

    Attributes:
        tensors: Name to tensor, for reading only.
        model: Config of the model, if the file says it.
        sha256: Hash of the file, in hexadecimal.
        packed: Whether it is an artifact.
        ttt: Recipe of test-time training that the file carries, if any.
        notes: What was decided on the way, one line each.
    """

    tensors: dict[str, Tensor]
    model: Config | None
    sha256: str
    packed: bool
    ttt: Config | None = None
    notes: tuple[str, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}


def read_weights(path: Path, *, key: str | None = None, strip_prefix: str | None = None) -> Weights:
    """
    Read an artifact, every checksum and hash checked, or a raw checkpoint.

    Args:
        path: An artifact, or whatever :func:`~artpack.checkpoint.open_checkpoint` takes.
        key: Where in a raw checkpoint the weights are.
        strip_prefix: What to take off the names in a raw checkpoint that begin with it.

    Returns:
        The weights.

    Raises:
        ArtifactError: The artifact is damaged, hostile, or of another version.
        CheckpointError: It is not a usable checkpoint.
        UsageError: There is nothing under the key, or no name begins with the prefix.
        OSError: The file cannot be read.

    """
    if is_artifact(path):
        return _read_artifact(path)
    with open_checkpoint(path, key=key, strip_prefix=strip_prefix) as source:
        stored = {info.name: source.read(info.name) for info in source.tensors}
        tensors = restore(source.names, stored, source.ties, source.banks)
        return Weights(tensors, None, source.sha256, packed=False, notes=source.notes)


def _read_artifact(path: Path) -> Weights:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    with open_artifact(path) as artifact:
        return weights_of(artifact, sha256)


def weights_of(artifact: Artifact, sha256: str) -> Weights:
    """
    Decode all of an artifact, every checksum and hash checked.

    Args:
        artifact: It is left open.
        sha256: Hash of its file, in hexadecimal.

    Returns:
        The weights.

    Raises:
        ArtifactError: The artifact is damaged or hostile.

    """
    artifact.check_trailer()
    header = artifact.header
    ttt = header.provenance.get("ttt")
    carried = ttt if isinstance(ttt, dict) else None
    return Weights(artifact.load(), header.model, sha256, packed=True, ttt=carried)


def is_artifact(path: Path) -> bool:
    """Return whether a path is a file that begins as artifacts do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
