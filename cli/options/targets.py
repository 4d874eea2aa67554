"""Names of artifacts that nobody named, and what may be replaced under such a name."""

from collections.abc import Callable
from pathlib import Path

from artpack.artifact.reader import open_artifact
from artpack.errors import ArtifactError, UsageError

from .groups import OUTPUT, option_of

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
    "--force",
    is_flag=True,
    help="Without -o: replace other weights' artifact.",
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


def check_replaceable(target: Path, source_sha256: Callable[[], str | None]) -> None:
    """
    Check that what has an artifact's default name is an older artifact of the same source.

    Args:
        target: The artifact; nothing may be there.
        source_sha256: Gives the hash of the source; called only if something is there.

    Raises:
        UsageError: Something else is there.

    """
    if not target.exists():
        return
    what = "no artifact"
    if target.is_file():
        try:
            with open_artifact(target) as artifact:
                found = artifact.header.provenance.get("source_sha256")
        except ArtifactError:
            pass
        else:
            if found is not None and found == source_sha256():
                return
            what = "an artifact of other weights"
    raise UsageError(f"{target}: is there, and is {what}: name another with -o, or give --force")
