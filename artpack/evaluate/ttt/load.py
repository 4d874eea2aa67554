"""Recipes of adapting evaluations, one TOML file each."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from artpack.errors import ArtpackError, RecipeError, UsageError
from artpack.evaluate.ttt.recipe import STRATEGIES, AnyRecipe
from artpack.stages import Config, nearest
from artpack.stages.parsing import MAX_DEPTH, parse_toml, parse_value

DEFAULT_RECIPE = "scalars"
_OWN_KEYS = ("name", "about", "strategy", "faithful")


@dataclass(frozen=True)
class Named:
    """
    A recipe and where it comes from.

    Attributes:
        name: Of the file.
        about: One line that says what it does.
        strategy: A key of :data:`~artpack.evaluate.ttt.recipe.STRATEGIES`.
        recipe: The recipe.
    """

    name: str
    about: str
    strategy: str
    recipe: AnyRecipe

    def to_json(self) -> Config:
        """Return the recipe as data, for reports and checkpoints."""
        return {"name": self.name, "strategy": self.strategy, **self.recipe.to_json()}


def recipe_names() -> list[str]:
    """
    List the recipes that come with the package.

    Returns:
        Their names, sorted.

    """
    names = (item.name for item in _folder().iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_recipe(source: str, overrides: Sequence[str] = (), *, faithful: bool = False) -> Named:
    """
    Read a recipe.

    Args:
        source: Name of a recipe of the package, or path of a TOML file.
        overrides: ``KEY=VALUE``, where the key may be a dotted path, ``rule.lr``, and the
            value is TOML, plain text, or ``none``.
        faithful: Repeat what was published by mistake: the recipe's table ``faithful``.

    Returns:
        The recipe.

    Raises:
        RecipeError: There is no such recipe, it is not valid TOML, or a key or value in
            it or in an override is wrong.

    >>> load_recipe("scalars", ["rule.lr=0.5"]).recipe.rule.lr
    0.5

    """
    return stored_recipe(recipe_data(source), overrides, faithful=faithful)


def recipe_data(source: str) -> Config:
    """
    Read a recipe as data, for an artifact to carry.

    Args:
        source: Name of a recipe of the package, or path of a TOML file.

    Returns:
        What the file says, and its name.

    Raises:
        RecipeError: There is no such recipe, or it is not valid TOML.

    """
    name, text = _text(source)
    try:
        return {"name": name, **parse_toml(text)}
    except UsageError as error:
        raise RecipeError(f"recipe {source}: {error}") from error


def stored_recipe(data: Config, overrides: Sequence[str] = (), *, faithful: bool = False) -> Named:
    """
    Make a recipe of data that :func:`recipe_data` returned.

    Args:
        data: The data.
        overrides: As :func:`load_recipe` takes them.
        faithful: As :func:`load_recipe` takes it.

    Returns:
        The recipe.

    Raises:
        RecipeError: A key or value in it or in an override is wrong.

    """
    name, strategy = str(data.get("name")), data.get("strategy")
    own: dict[str, Any] = {key: value for key, value in data.items() if key not in _OWN_KEYS}
    published = data.get("faithful")
    try:
        if faithful and isinstance(published, dict):
            own = _merged(own, published)
        for override in overrides:
            own = _merged(own, _change(override))
        if not isinstance(strategy, str) or strategy not in STRATEGIES:
            raise UsageError(f"unknown strategy {strategy!r}{nearest(str(strategy), STRATEGIES)}")
        recipe = STRATEGIES[strategy].from_json(own, where=strategy)
    except ArtpackError as error:
        raise RecipeError(f"recipe {name}: {error}") from error
    return Named(name, str(data.get("about", "")), strategy, recipe)


def _folder() -> Any:
    return files("artpack.evaluate.ttt").joinpath("recipes")


def _text(source: str) -> tuple[str, str]:
    if source in recipe_names():
        return source, _folder().joinpath(f"{source}.toml").read_text("utf-8")
    path = Path(source)
    if path.suffix != ".toml":
        raise RecipeError(f"unknown recipe {source!r}{nearest(source, recipe_names())}")
    try:
        return path.stem, path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {source}: cannot be read: {error}") from error


def _merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(data))
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


def _change(override: str) -> dict[str, Any]:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--ttt-set {override!r}: write it as KEY=VALUE")
    *path, last = key.strip().split(".")
    if len(path) > MAX_DEPTH:
        raise UsageError(f"--ttt-set {key:.40}...: no recipe is so deep")
    change: dict[str, Any] = {last: _value(value.strip())}
    for step in reversed(path):
        change = {step: change}
    return change


def _value(text: str) -> Any:
    return None if text == "none" else parse_value(text)
