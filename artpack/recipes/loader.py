"""Recipe files: found by name or path, read, and changed by ``KEY=VALUE``."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from artpack.errors import ArtpackError, RecipeError, UsageError
from artpack.stages import Config, nearest
from artpack.stages.parsing import MAX_DEPTH, parse_toml, parse_value


@dataclass(frozen=True)
class RecipeFolder:
    """
    Recipes of one kind that come with the package.

    Attributes:
        folder: Where their TOML files are, below the package.
        kind: What messages call one.

    >>> RecipeFolder("training/recipes", "training recipe").names()[0]
    'plain'

    """

    folder: str
    kind: str = "recipe"

    def names(self) -> list[str]:
        """Return the names of all, sorted."""
        names = (item.name for item in self._files().iterdir())
        return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))

    def text(self, source: str) -> tuple[str, str]:
        """
        Find a recipe.

        Args:
            source: Name of a recipe of the package, or path of a TOML file.

        Returns:
            Its name, and its TOML, comments and all.

        Raises:
            RecipeError: There is no such recipe, or the file cannot be read.

        """
        if source in self.names():
            return source, self._files().joinpath(f"{source}.toml").read_text("utf-8")
        path = Path(source)
        if path.suffix != ".toml":
            raise RecipeError(f"unknown {self.kind} {source!r}{nearest(source, self.names())}")
        try:
            return path.stem, path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{self.kind} {source}: cannot be read: {error}") from error

    def read(self, source: str) -> tuple[str, Config]:
        """
        Read a recipe as data.

        Args:
            source: Name of a recipe of the package, or path of a TOML file.

        Returns:
            Its name, and what the file says.

        Raises:
            RecipeError: There is no such recipe, or it is not valid TOML.

        """
        name, text = self.text(source)
        with self.blamed(source):
            return name, parse_toml(text)

    @contextmanager
    def blamed(self, source: str) -> Iterator[None]:
        """
        Name the recipe in errors.

        Args:
            source: Its name or path.

        Yields:
            Nothing.

        Raises:
            RecipeError: Whatever was found in it.

        """
        try:
            yield
        except ArtpackError as error:
            raise RecipeError(f"{self.kind} {source}: {error}") from error

    def _files(self) -> Any:
        return files("artpack").joinpath(*self.folder.split("/"))


def overridden(data: Config, overrides: Sequence[str], *, merge: bool = False) -> Config:
    """
    Change a recipe's data.

    Args:
        data: The data.
        overrides: ``KEY=VALUE``, where the key is a dotted path, in which numbers count the
            entries of a list from 0, and the value is TOML or plain text. A stage that is
            named alone becomes an object.
        merge: Tables in the place of tables change only the fields that they name.

    Returns:
        Changed data; ``data`` stays as it is.

    Raises:
        UsageError: An override has no ``=``, leads nowhere, or its value is out of range.

    >>> overridden({"clip": "std", "rates": [1, 2]}, ["clip.k=9", "rates.0=none"])
    {'clip': {'id': 'std', 'k': 9}, 'rates': ['none', 2]}

    """
    data = copy.deepcopy(data)
    for override in overrides:
        key, equals, text = override.partition("=")
        *path, last = key.strip().split(".")
        if not equals or not last or not key.isprintable():
            raise UsageError(f"override {override!r}: write it as KEY=VALUE")
        if len(path) > MAX_DEPTH:
            raise UsageError(f"override {key:.40}...: no recipe is so deep")
        place: Any = data
        for step in path:
            place = _entered(place, step, key)
        at, value = _index(place, last, key), parse_value(text)
        change = merged(place, {last: value}) if merge and isinstance(place, dict) else {at: value}
        place[at] = change[at]
    return data


def merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """
    Change the fields of a table that another one names.

    Args:
        data: The table.
        changes: The other; tables in it are merged in the same way.

    Returns:
        A new table.

    """
    result = copy.deepcopy(dict(data))
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if nested else value
    return result


def _entered(place: Any, step: str, key: str) -> Any:
    """Return the table or list at a step, made where there is nothing."""
    at = _index(place, step, key)
    inner = place[at] if isinstance(place, list) else place.get(at)
    if inner is None or isinstance(inner, str):
        inner = place[at] = {} if inner is None else {"id": inner}
    if not isinstance(inner, dict | list):
        raise UsageError(f"override {key}: {step!r} has no fields")
    return inner


def _index(place: Any, step: str, key: str) -> Any:
    if isinstance(place, dict):
        return step
    if not (step.isdecimal() and len(step) < 10 and int(step) < len(place)):
        remedy = nearest(step, map(str, range(len(place))))
        raise UsageError(f"override {key}: no {step!r} there{remedy}")
    return int(step)
