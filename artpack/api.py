"""``artpack.load``, ``artpack.save`` and ``artpack.open``: the library in three calls."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from artpack.artifact.reader import Artifact, open_artifact
from artpack.calibration.file import Calibration, hash_config
from artpack.checkpoint import Checkpoint, from_state_dict
from artpack.checkpoint.selection import select
from artpack.coding.profiles import profile_named
from artpack.models import ModelConfig, expected_shapes
from artpack.models.build import check_shapes
from artpack.models.defects import as_meant
from artpack.pack.compress import compress
from artpack.pack.kept_as_is import find_exceptions
from artpack.pack.prepare import prepare
from artpack.pack.rate_distortion import Frontier
from artpack.recipes import DEFAULT_RECIPE, load_recipe
from artpack.system.atomic import check_writable, write_atomically


def save(
    state_dict: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    *,
    model: ModelConfig | None = None,
    recipe: str = DEFAULT_RECIPE,
    calibration: Calibration | None = None,
    profile: str = "default",
    jobs: int = 1,
) -> int:
    """
    Pack a state dict into an artifact.

    Args:
        state_dict: Name to tensor, any dtypes and shapes.
        path: Where to; an older file there is replaced at once or not at all.
        model: The model that these weights belong to, stored beside them.
        recipe: Name of a recipe, or path of a TOML file.
        calibration: What is known of the data, collected with these very weights; some
            recipes cannot do without.
        profile: How hard to look for the smallest coding: ``fast``, ``default``, ``max``.
        jobs: Number of threads; the bytes do not depend on it.

    Returns:
        The size of the file in bytes.

    Raises:
        CheckpointError: A weight is not finite or does not fit its grid, or the tensors
            are not the model's.
        RecipeError: There is no such recipe, or it is wrong.
        UsageError: The profile is unknown, or the recipe needs a calibration, or the
            calibration is for other weights or another model, or cannot be true.
        OSError: The file cannot be written.

    >>> import tempfile, torch
    >>> weights = {"fc.weight": torch.eye(64), "fc.bias": torch.zeros(64)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     size = save(weights, folder + "/a.bin", recipe="lossless", profile="fast")
    ...     back = load(folder + "/a.bin")
    >>> size < 1000, torch.equal(back["fc.weight"], weights["fc.weight"])
    (True, True)

    """
    check_writable(Path(path))
    if model is not None:
        shapes = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
        check_shapes(expected_shapes(model), shapes)
    spec = load_recipe(recipe)
    with from_state_dict(state_dict) as checkpoint:
        if calibration is not None:
            _check_calibration(calibration, checkpoint, model)
        selection = select(checkpoint)
        spec, _ = find_exceptions(checkpoint, selection, spec)
        prepared = prepare(checkpoint, selection, spec, calibration)
        frontier = Frontier(checkpoint, selection, spec, calibration, jobs=jobs)
        if frontier.jobs:
            prepared |= frontier.prepare(frontier.default_octaves())
        packed = compress(
            checkpoint,
            selection,
            spec,
            prepared=prepared,
            model=None if model is None else model.to_json(),
            profile=profile_named(profile),
            jobs=jobs,
        )
    return write_atomically(Path(path), packed.pieces())


def _check_calibration(
    calibration: Calibration, checkpoint: Checkpoint, model: ModelConfig | None
) -> None:
    calibration.check()
    calibration.check_fit(
        {info.name: info.shape for info in checkpoint.tensors},
        weights_sha256=checkpoint.weights_sha256,
        model_sha256=None if model is None else hash_config(as_meant(model).to_json()),
    )


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
        The artifact, a context manager: ``artifact["fc.weight"]`` decodes only
        the streams that hold rows of that tensor.

    Raises:
        ArtifactError: The file is damaged, hostile, or of another version.
        OSError: The file cannot be read.

    """
    return open_artifact(Path(path), max_decoded_bytes=max_decoded_bytes)
