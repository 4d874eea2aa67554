"""Names of artifacts that nobody named, and what may be replaced under such a name."""

from collections.abc import Callable
from pathlib import Path

import artpack
from artpack.errors import ArtifactError, UsageError

from .groups import OUTPUT, option_of
from .outputs import check_output, refuse_inputs

ENDING = ".artpack"
ENDINGS = (
    ".safetensors.index.json",
    ".bin.index.json",
    ".safetensors",
    ".gguf",
    ".pt",
    ".pth",
    ".ckpt",
    ".bin",
    ".ptz",
    ".zst",
    ".xz",
    ".br",
)
"""What files of weights end in. All else that follows a dot belongs to the name."""

force_option = option_of(OUTPUT)(
    "--force", is_flag=True, help="Without -o: replace other weights' artifact."
)


def default_target(source: Path) -> Path:
    """
    Name the artifact of a file, or of a folder.

    Args:
        source: The weights.

    Returns:
        Beside it, its name with the ending ``.artpack``: instead of that of a file of
        weights, or after everything else.

    Raises:
        UsageError: It has no name: the root of all folders.

    >>> print(default_target(Path("runs/ckpt.pt")))
    runs/ckpt.artpack
    >>> print(default_target(Path("models/Qwen2.5-0.5B-Instruct")))
    models/Qwen2.5-0.5B-Instruct.artpack

    """
    named = source if source.name not in ("", "..") else source.resolve()
    if not named.name:
        raise UsageError(f"{source}: no name to make the artifact's of: give it with -o")
    endings = () if source.is_dir() else ENDINGS
    stems = (named.name.removesuffix(ending) for ending in endings if named.name.endswith(ending))
    return named.with_name((next(stems, "") or named.name) + ENDING)


def checked_target(source: Path, source_sha256: Callable[[], str], *, force: bool) -> Path:
    """
    Name the artifact of a file, and check that it may be written.

    Args:
        source: The weights.
        source_sha256: Gives their hash; called only if there is something of that name.
        force: Replace whatever is there.

    Returns:
        As :func:`default_target`.

    Raises:
        UsageError: There is something else than an older artifact of the same source.

    """
    target = default_target(source)
    refuse_inputs(target)
    check_output(target)
    if not force:
        _check_replaceable(target, source_sha256)
    return target


def _check_replaceable(target: Path, source_sha256: Callable[[], str]) -> None:
    """Check that what has an artifact's default name is an older artifact of the same source."""
    if not target.exists():
        return
    what = "no artifact"
    if target.is_file():
        try:
            with artpack.open(target) as artifact:
                found = artifact.header.provenance.get("source_sha256")
        except ArtifactError:
            pass
        else:
            if found is not None and found == source_sha256():
                return
            what = "an artifact of other weights"
    raise UsageError(f"{target}: is there, and is {what}: name another with -o, or give --force")
