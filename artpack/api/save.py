"""The job of ``artpack.save``: a state dict into an artifact on disk."""

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from artpack.api.compress import compress
from artpack.calibration.file import Calibration
from artpack.models import ModelConfig
from artpack.recipes import DEFAULT_RECIPE
from artpack.system.atomic import check_writable


def save(
    state_dict: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    *,
    model: ModelConfig | None = None,
    recipe: str = DEFAULT_RECIPE,
    calibration: Calibration | None = None,
    profile: str = "default",
    jobs: int | None = None,
    files: Mapping[str, bytes] | None = None,
) -> int:
    """
    Pack a state dict into an artifact.

    Args:
        state_dict: Name to tensor, any dtypes and shapes.
        path: Where to; an older file there is replaced at once or not at all.
        model: The model that these weights belong to, stored beside them; None to tell it
            from names and shapes.
        recipe: Name of a recipe, or path of a TOML file.
        calibration: What is known of the data, collected with these very weights; some
            recipes cannot do without.
        profile: How hard to look for the smallest coding: ``fast``, ``default``, ``max``.
        jobs: Number of threads, None for one a core; the bytes do not depend on it.
        files: Small files that the artifact carries: relative path to content.

    Returns:
        The size of the file in bytes.

    Raises:
        CheckpointError: A weight is not finite or does not fit its grid, or the tensors
            are not the model's.
        RecipeError: There is no such recipe, or it is wrong.
        UsageError: The profile is unknown, the recipe needs a calibration, or the
            calibration is for other weights.
        OSError: The file cannot be written.

    >>> import tempfile, torch
    >>> from artpack import load
    >>> weights = {"fc.weight": torch.eye(64), "fc.bias": torch.zeros(64)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     size = save(weights, folder + "/a.bin", recipe="lossless", profile="fast")
    ...     back = load(folder + "/a.bin")
    >>> size < 1000, torch.equal(back["fc.weight"], weights["fc.weight"])
    (True, True)

    """
    check_writable(Path(path))
    result = compress(
        state_dict,
        model=model,
        recipe=recipe,
        calibration=calibration,
        profile=profile,
        jobs=jobs,
        files=files,
    )
    return result.save(path)
