"""
Recipes: what can be asked for, one TOML file each.

A recipe is an ordered table of named rules; the first that takes a tensor says
how it is quantized. Two more tables say what is done to all matrices together.
docs/RECIPES.md explains every key.
"""

import copy
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from artpack.errors import ArtpackError, RecipeError
from artpack.recipes.corrections import Correction, Search
from artpack.recipes.rules import rule_from_json
from artpack.recipes.spec import PlanSpec
from artpack.stages import nearest
from artpack.stages.parsing import parse_toml, parse_value

DEFAULT_RECIPE = "int6"
"""What is done where nothing is known of the data, and nothing is asked of the size."""

FRONTIER_RECIPE = "frontier"
"""What is done otherwise: its steps can be adjusted."""
KEYS = ("about", "rules", "correction", "search")
"""What a recipe may hold at its top; the last two are tables that ``--set`` can name."""


def recipe_names() -> list[str]:
    """
    List the recipes that come with the package.

    Returns:
        Their names, sorted.

    """
    folder = files("artpack.recipes")
    return sorted(
        item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")
    )


def load_recipe(source: str, overrides: Sequence[str] = ()) -> PlanSpec:
    """
    Read a recipe.

    Args:
        source: Name of a recipe of the package, or path of a TOML file.
        overrides: ``KEY=VALUE``, where the key is a dotted path into the rules,
            ``matrices.quantizer.bits``, or into one of the other tables,
            ``correction.rank``, and the value is TOML or plain text.

    Returns:
        The recipe.

    Raises:
        RecipeError: There is no such recipe, it is not valid TOML, or a key or
            value in it or in an override is wrong.

    >>> spec = load_recipe("int6", ["matrices.quantizer.bits=5"])
    >>> spec.rules[0].quantizer.label
    'int5'

    """
    name, text = recipe_text(source)
    try:
        return _spec(name, _overridden(parse_toml(text), overrides))
    except ArtpackError as error:
        raise RecipeError(f"recipe {source}: {error}") from error


def recipe_text(source: str) -> tuple[str, str]:
    """
    Find a recipe.

    Args:
        source: Name of a recipe of the package, or path of a TOML file.

    Returns:
        Its name, and its TOML, comments and all.

    Raises:
        RecipeError: There is no such recipe, or the file cannot be read.

    """
    if source in recipe_names():
        return source, files("artpack.recipes").joinpath(f"{source}.toml").read_text("utf-8")
    path = Path(source)
    if path.suffix != ".toml":
        raise RecipeError(f"unknown recipe {source!r}{nearest(source, recipe_names())}")
    try:
        return path.stem, path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {source}: cannot be read: {error}") from error


def _spec(name: str, data: dict[str, Any]) -> PlanSpec:
    for key in data:
        if key not in KEYS:
            raise RecipeError(f"unknown key {key!r}{nearest(key, KEYS)}")
    rules = data.get("rules")
    if not isinstance(rules, dict) or not rules:
        raise RecipeError("there is no table [rules.NAME]")
    about = data.get("about", "")
    if not isinstance(about, str):
        raise RecipeError(f"about must be text, got {about!r}")
    correction = data.get("correction")
    if not (correction is None or isinstance(correction, dict)):
        raise RecipeError(f"correction must be a table, got {correction!r}")
    return PlanSpec(
        name,
        about,
        tuple(rule_from_json(rule, rules[rule]) for rule in rules),
        None if correction is None else Correction.from_config(correction),
        Search.from_json(data.get("search", {})),
    )


def _overridden(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    data = copy.deepcopy(data)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise RecipeError(f"--set {override!r}: write it as KEY=VALUE")
        *path, last = key.strip().split(".")
        whole = (path or [last])[0] in KEYS[2:]
        if not path and not whole:
            raise RecipeError(f"--set {override!r}: write it as RULE.FIELD=VALUE")
        table = data if whole else data.get("rules", {})
        for step in path:
            if step not in table:
                raise RecipeError(f"--set {key}: no {step!r} there{nearest(step, table)}")
            if isinstance(table[step], str):
                table[step] = {"id": table[step]}
            table = table[step]
            if not isinstance(table, dict):
                raise RecipeError(f"--set {key}: {step!r} has no fields")
        table[last] = parse_value(value)
    return data
