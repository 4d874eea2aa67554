"""All that the files of a packer follow from, so that what was found is used for no others."""

from importlib.metadata import version
from typing import TYPE_CHECKING

from artpack.calibration.file import hash_calibration
from artpack.coding.profiles import Profile
from artpack.pack.compress import LIBRARIES
from artpack.pack.origin import Options
from artpack.recipes.spec import PlanSpec
from artpack.stages import Config
from artpack.version import __version__

if TYPE_CHECKING:
    from artpack.pack.packer import PackInputs


def identity(inputs: "PackInputs", spec: PlanSpec, profile: Profile, options: Options) -> Config:
    """
    Name what files follow from, but for step and sensitivities.

    Args:
        inputs: What is packed.
        spec: The recipe.
        profile: How hard it is looked for small codings.
        options: What else was asked for.

    Returns:
        Versions, hashes and settings: as JSON, equal where files are.

    """
    known, files = inputs.calibration, inputs.files
    return {
        "artpack": __version__,
        "libraries": {name: version(name) for name in LIBRARIES},
        "weights": inputs.checkpoint.weights_sha256,
        "source": inputs.checkpoint.sha256,
        "selection": repr(inputs.selection),
        "recipe": spec.to_json(),
        "profile": repr(profile),
        "options": options.to_json(),
        "calibration": None if known is None else hash_calibration(known),
        "model": inputs.model,
        "provenance": inputs.provenance,
        "files": None if files is None else repr(files.record),
        "data": inputs.data_sha256,
        "device": inputs.device,
    }
