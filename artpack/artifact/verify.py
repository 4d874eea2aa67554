"""The check of an artifact: whether it is sound, and what it lost against its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from artpack.artifact.reader import Artifact, open_artifact
from artpack.checkpoint import Checkpoint
from artpack.errors import ArtifactError
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TensorError:
    """
    How far a tensor is from the one it was made of.

    Attributes:
        name: Of the stored tensor.
        relative: Frobenius norm of the difference over that of the original; 0
            where both are zero.
        largest: Largest absolute difference.
    """

    name: str
    relative: float
    largest: float


@dataclass(frozen=True)
class Verification:
    """
    What a check of an artifact found.

    Attributes:
        checked: How many hashes, streams and tensors, and the files, were without a fault.
        faults: One line each; none means that the artifact is sound.
        errors: Error of each tensor, when there was a checkpoint to compare with.
        left_out: Names that only the checkpoint has.
    """

    checked: int
    faults: tuple[str, ...]
    errors: tuple[TensorError, ...] = ()
    left_out: tuple[str, ...] = ()


def verify(
    path: Path, *, against: Checkpoint | None = None, max_decoded_bytes: int | None = None
) -> Verification:
    """
    Check all checksums and hashes, and compare with a checkpoint if there is one.

    Args:
        path: The artifact.
        against: What it was made of.
        max_decoded_bytes: Refuse a file whose symbols are more than this; by default
            64 MiB and 256 times its size.

    Returns:
        Everything that was found; the check goes on after a fault where it can.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        OSError: The artifact cannot be read.

    """
    try:
        artifact = open_artifact(path, max_decoded_bytes=max_decoded_bytes)
    except ArtifactError as error:
        # The caller knows which file it is; the cause says what is wrong with it.
        return Verification(0, (_fault(error.__cause__ or error),))
    with artifact:
        results = [_attempt(check) for check in _checks(artifact)]
        faults = [fault for fault in results if fault is not None]
        errors = []
        left_out: tuple[str, ...] = ()
        if against is not None and not faults:
            left_out = tuple(name for name in against.names if name not in artifact.names)
            faults += _differences(artifact, against)
            errors = [] if faults else list(tensor_errors(artifact, against))
            faults += [f"{e.name!r}: kept as it is, but differs" for e in _lies(artifact, errors)]
        return Verification(results.count(None), tuple(faults), tuple(errors), left_out)


def _checks(artifact: Artifact) -> Iterator[Callable[[], object]]:
    yield artifact.check_trailer
    if artifact.header.files is not None:
        yield lambda: artifact.files
    for s in range(len(artifact.header.records)):
        yield partial(artifact.stream, s)
    for tensor in artifact.header.plan.tensors:
        yield partial(artifact.stored_tensor, tensor.name)


def _attempt(check: Callable[[], object]) -> str | None:
    try:
        check()
    except ArtifactError as error:
        return _fault(error)
    return None


def _fault(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _differences(artifact: Artifact, checkpoint: Checkpoint) -> list[str]:
    """Name tensors that the checkpoint does not have, has in another shape, or does not tie."""
    packed = {tensor.name: tensor.shape for tensor in artifact.header.plan.tensors}
    source = {info.name: info.shape for info in checkpoint.tensors}
    ties = {tie.name: tie.target for tie in checkpoint.ties}
    faults = [f"{name!r} is not in the checkpoint" for name in packed if name not in source]
    faults += [
        f"{name!r} is {list(packed[name])}, in the checkpoint {list(shape)}"
        for name, shape in source.items()
        if name in packed and packed[name] != shape
    ]
    return faults + [
        f"{tie.name!r} is tied to {tie.target!r}, in the checkpoint it is not"
        for tie in artifact.header.ties
        if ties.get(tie.name) != tie.target
    ]


def tensor_errors(artifact: Artifact, checkpoint: Checkpoint) -> Iterator[TensorError]:
    """
    Measure the error of every stored tensor.

    Args:
        artifact: An open one.
        checkpoint: What it was made of; it has all tensors of the artifact.

    Yields:
        The tensors' errors, in the order stored.

    """
    for tensor in artifact.header.plan.tensors:
        original = checkpoint.read(tensor.name)
        norm, size, largest = distance(artifact.stored_tensor(tensor.name), original)
        yield TensorError(tensor.name, norm / size if norm and size else norm, largest)


def distance(tensor: Tensor, original: Tensor) -> tuple[float, float, float]:
    """
    Measure how far a tensor is from another of its shape, in float64.

    Args:
        tensor: Any dtype.
        original: What it stands for.

    Returns:
        Frobenius norms of the difference and of the original, and the largest absolute
        difference.

    >>> import torch
    >>> distance(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 0.0]))
    (4.0, 3.0, 4.0)

    """
    decoded, exact = _exact(tensor), _exact(original)
    # Infinities and NaNs that were kept are equal, though their difference is not a number.
    kept = (decoded == exact) | (decoded.isnan() & exact.isnan())
    difference = torch.where(kept, 0, decoded - exact)
    largest = float(difference.abs().max()) if difference.numel() else 0.0
    return float(difference.norm()), float(exact.norm()), largest


def _exact(tensor: Tensor) -> Tensor:
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def _lies(artifact: Artifact, errors: list[TensorError]) -> list[TensorError]:
    """Return those whose quantizer promises no loss and yet there is one."""
    kept = {t.name for t in artifact.header.plan.tensors if t.quantizer.stage_id == "raw"}
    return [error for error in errors if error.name in kept and error.largest != 0]
