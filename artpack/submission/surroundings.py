"""Fresh virtual environments that have what a folder declares, and nothing else."""

import os
import re
import subprocess
import sys
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from artpack.errors import ArtpackError, UsageError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def make_fresh(folder: Path, declared: list[str]) -> Path:
    """
    Make a virtual environment and let pip install into it.

    Args:
        folder: Where to.
        declared: Packages with their versions.

    Returns:
        Its Python.

    Raises:
        ArtpackError: pip failed, as it does without a network; says what to do then.

    """
    venv.create(folder, with_pip=True)
    python = _python(folder)
    command = [str(python), "-I", "-m", "pip", "install", "--quiet", "--no-input", *declared]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"pip ended with {done.returncode}"]
        raise ArtpackError(
            f"what the folder declares cannot be installed: {said[0]}; without a network,"
            " `installed` takes the packages of this Python"
        )
    return python


def make_linked(folder: Path, declared: list[str]) -> Path:
    """
    Make a virtual environment with packages of this Python: those declared and what they need.

    Args:
        folder: Where to.
        declared: Packages with their versions.

    Returns:
        Its Python; it finds links to those packages, and no others.

    Raises:
        UsageError: One of them is not installed here, or not in a version that is declared.

    """
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    site = Path(next(folder.glob("[Ll]ib*/**/site-packages")))
    for name, found in _closure(declared).items():
        for part in _top_parts(found):
            source, target = Path(str(found.locate_file(part))), site / part
            if source.exists() and not target.exists():
                target.symlink_to(source.resolve())
        if not found.files:
            raise UsageError(f"{name} is not installed here as files: leave `installed` out")
    return _python(folder)


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _top_parts(found: Distribution) -> set[str]:
    """Return the names at the top of where packages lie."""
    parts = {file.parts[0] for file in found.files or () if file.parts}
    return {part for part in parts if part not in ("..", "/", "__pycache__")}


def _closure(declared: list[str]) -> dict[str, Distribution]:
    """Return what is declared and what that needs, by name."""
    found: dict[str, Distribution] = {}
    waiting = [(requirement, True) for requirement in declared]
    while waiting:
        requirement, asked = waiting.pop()
        if not asked and _is_extra(requirement):
            continue
        name = _name(requirement)
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            if asked:
                raise UsageError(f"{name} is not installed here: leave `installed` out") from None
            continue  # for another system or Python than this one
        if asked:
            _check_version(requirement, found[name])
        waiting += [(one, False) for one in found[name].requires or ()]
    return found


def _name(requirement: str) -> str:
    match = _NAME.match(requirement)
    if match is None:
        raise UsageError(f"{requirement!r} is no package with its version")
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def _is_extra(requirement: str) -> bool:
    return "extra" in requirement.partition(";")[2]


def _check_version(requirement: str, found: Distribution) -> None:
    """Check the bounds of a version, as far as numbers with dots tell."""
    bounds = requirement.partition(";")[0][len(_NAME.match(requirement)[0]) :]  # type: ignore[index]
    for bound in filter(None, map(str.strip, bounds.split(","))):
        match = re.fullmatch(r"(==|>=|<=|<|>|!=|~=)\s*(\d[\d.]*)(\+\S+)?(\.\*)?", bound)
        if match is None or match[1] == "~=" or match[4]:
            raise UsageError(f"{requirement}: `installed` understands ==, !=, >=, <=, > and < only")
        have, want = _numbers(found.version), _numbers(match[2])
        order = (have > want) - (have < want)
        allowed = {"==": (0,), "!=": (-1, 1), ">=": (0, 1), "<=": (0, -1), ">": (1,), "<": (-1,)}
        if order not in allowed[match[1]]:
            raise UsageError(f"{requirement} is declared, {found.version} is installed here")


def _numbers(version: str) -> list[int]:
    match = re.match(r"[\d.]*\d", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers
