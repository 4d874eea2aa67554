"""
Recipes: what can be asked for, one TOML file each.

A recipe is an ordered table of named rules; the first that takes a tensor says
how it is quantized. Two more tables say what is done to all matrices together.
docs/RECIPES.md explains every key.
"""

from collections.abc import Iterable, Sequence

from artpack.errors import RecipeError, UsageError
from artpack.recipes.loader import RecipeFolder, overridden
from artpack.recipes.rules import Rule
from artpack.recipes.spec import PlanSpec
from artpack.stages import Config, check_keys, nearest

DEFAULT_RECIPE = "int6"
"""What is done where nothing is known of the data, and nothing is asked of the size."""

FRONTIER_RECIPE = "frontier"
"""What is done otherwise: its steps can be adjusted."""

TABLES = ("correction", "search")
"""Tables of a recipe that an override can name; all else that it names is a rule."""

FOLDER = RecipeFolder("recipes")
recipe_names, recipe_text = FOLDER.names, FOLDER.text


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
    name, data = FOLDER.read(source)
    with FOLDER.blamed(source):
        rules = data.get("rules")
        known = rules if isinstance(rules, dict) else {}
        return _spec(name, overridden(data, [_whole_path(o, known) for o in overrides]))


def recipe_of(stated: Config) -> PlanSpec:
    """
    Read the recipe that an artifact's provenance states.

    Args:
        stated: What :meth:`PlanSpec.to_json` gave.

    Returns:
        The recipe, without what it says about itself.

    Raises:
        RecipeError: It is none, or one of another version.

    >>> recipe_of(load_recipe("int6").to_json()).rules == load_recipe("int6").rules
    True

    """
    data = dict(stated)
    name, order, rules = data.pop("name", None), data.pop("order", None), data.get("rules")
    if not isinstance(name, str) or not isinstance(rules, dict):
        raise RecipeError("the recipe has no name, or no rules")
    names = list(rules) if order is None and len(rules) == 1 else order
    if not isinstance(names, list) or sorted(rules) != sorted(map(str, names)):
        raise RecipeError(f"recipe {name}: nothing says which of its rules comes first")
    try:
        return _spec(name, {**data, "rules": {str(key): rules[str(key)] for key in names}})
    except UsageError as error:
        raise RecipeError(f"recipe {name}: {error}") from error


def _spec(name: str, data: Config) -> PlanSpec:
    check_keys(data, ("about", "rules", *TABLES))
    rules = data.pop("rules", None)
    if not isinstance(rules, dict) or not rules:
        raise UsageError("there is no table [rules.NAME]")
    read = [Rule.from_json(rule, where=f"rules.{key}", name=key) for key, rule in rules.items()]
    return PlanSpec.from_json(data, where="", name=name, rules=tuple(read))


def _whole_path(override: str, rules: Iterable[str]) -> str:
    """Put ``rules`` before a path that begins with one."""
    key, equals, _ = override.strip().partition("=")
    first, dot, _ = key.partition(".")
    if first.strip() in TABLES or not (equals and key.isprintable()):
        return override
    if not dot:
        raise UsageError(f"override {override!r}: write it as RULE.FIELD=VALUE")
    if first not in rules:
        raise UsageError(f"override {key}: no {first!r} there{nearest(first, rules)}")
    return f"rules.{override.strip()}"
