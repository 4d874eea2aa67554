"""The jobs around a finished artifact: open, load, verify."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from artpack.artifact.reader import Artifact, open_artifact
from artpack.artifact.verify import Verification
from artpack.artifact.verify import verify as verify_artifact
from artpack.checkpoint import open_checkpoint
from artpack.errors import UsageError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load(
    path: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
    max_decoded_bytes: int | None = None,
) -> dict[str, Tensor]:
    """
    Get all tensors of an artifact back, every checksum and hash checked.

    Args:
        path: The artifact.
        dtype: Give floating-point tensors in this dtype instead of their own.
        max_decoded_bytes: Refuse a file whose symbols are more than this; by default
            64 MiB and 256 times its size.

    Returns:
        Name to tensor, in the checkpoint's order, ready for ``load_state_dict``.

    Raises:
        ArtifactError: The file is damaged, hostile, or of another version.
        OSError: The file cannot be read.

    """
    with open_artifact(Path(path), max_decoded_bytes=max_decoded_bytes) as artifact:
        artifact.check_trailer()
        return artifact.load(dtype=dtype)


class Incompatible(NamedTuple):
    """
    What a module and an artifact do not share.

    Attributes:
        missing_keys: Names that only the module has.
        unexpected_keys: Names that only the artifact has.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def load_into(
    module: nn.Module,
    path: str | os.PathLike[str],
    *,
    strict: bool = True,
    max_decoded_bytes: int | None = None,
) -> Incompatible:
    """
    Give a module the weights of an artifact, each in the dtype that the module has.

    Args:
        module: Changed in place.
        path: The artifact.
        strict: Refuse an artifact that lacks a tensor of the module, or has others.
        max_decoded_bytes: As :func:`load` takes it.

    Returns:
        What is missing and what was not used; both empty if strict.

    Raises:
        ArtifactError: The file is damaged, hostile, or of another version.
        UsageError: Tensors are missing, left over, or of other shapes.
        OSError: The file cannot be read.

    """
    tensors = load(path, max_decoded_bytes=max_decoded_bytes)
    own = module.state_dict()
    for name in own.keys() & tensors.keys():
        if own[name].shape != tensors[name].shape:
            there, here = list(tensors[name].shape), list(own[name].shape)
            raise UsageError(f"{path}: {name!r} is {there}, the module's is {here}")
    found = Incompatible(_only(own, tensors), _only(tensors, own))
    if strict and found != ([], []):
        raise UsageError(
            f"{path}: the artifact is of another module: it lacks {_some(found.missing_keys)}"
            f" and has {_some(found.unexpected_keys)} besides; `strict` False loads what fits"
        )
    module.load_state_dict(tensors, strict=False)
    return found


def _only(these: Iterable[str], others: Mapping[str, Tensor]) -> list[str]:
    return [name for name in these if name not in others]


def _some(names: list[str]) -> str:
    return (
        repr(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        if names
        else "nothing"
    )


def open(  # noqa: A001 - the name that gzip, tarfile and safetensors taught everybody
    path: str | os.PathLike[str], *, max_decoded_bytes: int | None = None
) -> Artifact:
    """
    Open an artifact to read single tensors without decoding the rest.

    Args:
        path: The artifact.
        max_decoded_bytes: Refuse a file whose symbols are more than this; by default
            64 MiB and 256 times its size.

    Returns:
        The artifact, a mapping and a context manager: ``artifact["fc.weight"]`` decodes
        only the streams that hold rows of that tensor.

    Raises:
        ArtifactError: The file is damaged, hostile, or of another version.
        OSError: The file cannot be read.

    """
    return open_artifact(Path(path), max_decoded_bytes=max_decoded_bytes)


def verify(
    path: str | os.PathLike[str],
    *,
    against: str | os.PathLike[str] | None = None,
    key: str | None = None,
    strip_prefix: str | None = None,
    max_decoded_bytes: int | None = None,
) -> Verification:
    """
    Check all checksums and hashes of an artifact, and compare it with a checkpoint.

    Args:
        path: The artifact.
        against: The checkpoint that it was made of, if its errors are wanted.
        key: Where in that checkpoint the weights are.
        strip_prefix: What to take off their names.
        max_decoded_bytes: As :func:`load` takes it.

    Returns:
        Everything that was found; the check goes on after a fault where it can.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        OSError: The artifact cannot be read.

    """
    if against is None:
        return verify_artifact(Path(path), max_decoded_bytes=max_decoded_bytes)
    with open_checkpoint(Path(against), key=key, strip_prefix=strip_prefix) as checkpoint:
        return verify_artifact(Path(path), against=checkpoint, max_decoded_bytes=max_decoded_bytes)
