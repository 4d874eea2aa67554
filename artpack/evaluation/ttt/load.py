"""Recipes of adapting evaluations, one TOML file each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from artpack.errors import UsageError
from artpack.evaluation.ttt.recipe import STRATEGIES, AnyRecipe
from artpack.recipes.loader import RecipeFolder, merged, overridden
from artpack.stages import Config, nearest

DEFAULT_RECIPE = "scalars"
FOLDER = RecipeFolder("evaluation/ttt/recipes")
recipe_names = FOLDER.names
_OWN_KEYS = ("name", "about", "strategy", "faithful")


@dataclass(frozen=True)
class Named:
    """
    A recipe and where it comes from.

    Attributes:
        name: Of the file.
        about: One line that says what it does.
        strategy: A key of :data:`~artpack.evaluation.ttt.recipe.STRATEGIES`.
        recipe: The recipe.
    """

    name: str
    about: str
    strategy: str
    recipe: AnyRecipe

    def to_json(self) -> Config:
        """Return the recipe as data, for reports and checkpoints."""
        return {"name": self.name, "strategy": self.strategy, **self.recipe.to_json()}


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
    name, data = FOLDER.read(source)
    return {"name": name, **data}


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
    with FOLDER.blamed(name):
        if faithful and isinstance(published, dict):
            own = merged(own, published)
        own = overridden(own, overrides, merge=True)
        if not isinstance(strategy, str) or strategy not in STRATEGIES:
            raise UsageError(f"unknown strategy {strategy!r}{nearest(str(strategy), STRATEGIES)}")
        recipe = STRATEGIES[strategy].from_json(own, where=strategy)
    return Named(name, str(data.get("about", "")), strategy, recipe)
