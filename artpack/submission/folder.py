"""What lies in a folder, and what of it counts."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from artpack.errors import ArtpackError, UsageError
from artpack.submission.record import RECORD

ARTIFACT = "model.artpack"
SCRIPT = "evaluate.py"
README = "README.md"
REQUIREMENTS = "requirements.txt"
UNCOUNTED = frozenset({README, RECORD, REQUIREMENTS})
"""All else in a folder counts, whatever it is called."""

DECLARED = ("torch>=2.8", "numpy>=1.26", "sentencepiece>=0.2.3")
"""What the script needs besides Python's standard library; the same as artpack does."""

LIMIT_BYTES = 16_000_000


@dataclass(frozen=True)
class Counted:
    """
    Bytes that count.

    Attributes:
        artifact: Of the artifact.
        code: Of all else that counts.
    """

    artifact: int
    code: int

    @property
    def total(self) -> int:
        """Both."""
        return self.artifact + self.code


def count_folder(folder: Path, artifact: str) -> Counted:
    """
    Count what a folder holds.

    Args:
        folder: The folder.
        artifact: Name of the artifact in it.

    Returns:
        Bytes of every file in it and below it but :data:`UNCOUNTED` at its top.

    Raises:
        ArtpackError: There is a link in it: what it leads to is not counted.

    """
    sizes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ArtpackError(f"{path}: is a link; a submission has its files itself")
        if path.is_file() and str(path.relative_to(folder)) not in UNCOUNTED:
            sizes[path.relative_to(folder)] = path.stat().st_size
    own = sizes.pop(Path(artifact), 0)
    return Counted(own, sum(sizes.values()))


def hash_paths(paths: list[Path]) -> str:
    """
    Hash files as one.

    Args:
        paths: The files.

    Returns:
        SHA-256 of their contents, one after the other, in hexadecimal.

    Raises:
        UsageError: One of them is no regular file.

    """
    digest = hashlib.sha256()
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path}: is no file")
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def read_declared(folder: Path) -> list[str]:
    """
    Read what a folder says that its script needs.

    Args:
        folder: The folder.

    Returns:
        Lines of ``requirements.txt``, without comments.

    Raises:
        UsageError: There is none, or a line is an option or an address, no package's name.

    """
    path = folder / REQUIREMENTS
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    for line in lines:
        if line.startswith("-") or "/" in line or "@" in line:
            raise UsageError(f"{path}: {line!r} is no package with its version")
    return [line for line in lines if line]
