"""Recipes: all that come with the package are sound, and mistakes are named."""

from pathlib import Path

import pytest

from artpack.errors import RecipeError
from artpack.evaluation.ttt.load import (
    load_recipe,
    recipe_data,
    recipe_names,
    stored_recipe,
)
from artpack.evaluation.ttt.recipe import STRATEGIES, Blocks, Lora


def test_each_strategy_and_each_seed_has_a_recipe() -> None:
    seeds = {"pr2086", "pr576", "pr1123", "pr826", "pr1934"}
    assert set(recipe_names()) == STRATEGIES.keys() | seeds
    for name in recipe_names():
        named = load_recipe(name)
        assert named.name == name
        assert named.about
        assert type(named.recipe) is STRATEGIES[named.strategy]
        # A published mistake is repeated only when asked for.
        assert (load_recipe(name, faithful=True) != named) == (name in seeds)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_being_carried_by_an_artifact(name: str) -> None:
    for faithful in (False, True):
        carried = stored_recipe(recipe_data(name), faithful=faithful)
        assert carried == load_recipe(name, faithful=faithful)


def test_overrides_reach_every_level() -> None:
    recipe = load_recipe("pr576", ["rule.lr=0.5", "last=none", "temperature=0.9"]).recipe
    assert isinstance(recipe, Blocks)
    assert (recipe.rule.lr, recipe.last, recipe.temperature) == (0.5, None, 0.9)
    assert recipe.rule.kind == "adamw"
    recipe = load_recipe("pr826", ['sites=["q"]', "order=stream"], faithful=True).recipe
    assert isinstance(recipe, Lora)
    assert (recipe.sites, recipe.order, recipe.joint) == (("q",), "stream", True)


@pytest.mark.parametrize(
    ("source", "sets", "message"),
    [
        ("scalar", [], r"unknown recipe 'scalar' \(did you mean 'scalars'\?\)"),
        ("lora", ["rnak=4"], r"unknown field 'rnak' \(did you mean 'rank'\?\)"),
        ("lora", ["rule.lrs=4"], r"unknown field 'lrs' \(did you mean 'lr'\?\)"),
        ("lora", ["rank=many"], "rank must be int, got 'many'"),
        ("lora", ["rank=0"], "rank must be in 1"),
        ("lora", ["sites=[]"], "sites is empty"),
        ("lora", ["order=sideways"], "unknown choice 'sideways'"),
        ("scalars", ["chunk_tokens"], "write it as KEY=VALUE"),
        ("scalars", ["temperature=0"], "temperature must be in"),
        ("nowhere.toml", [], "cannot be read"),
    ],
)
def test_mistakes_are_named(source: str, sets: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(source, sets)


def test_a_file_is_as_good_as_a_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('strategy = "scalars"\nchunk_tokens = 64\ntensors = ["*"]\n[rule]\nlr = 1\n')
    with pytest.raises(RecipeError, match=r"recipe mine: scalars.rule: field 'kind' is missing"):
        load_recipe(str(file))
    file.write_text("strategy = 'scalar'")
    with pytest.raises(RecipeError, match=r"unknown strategy 'scalar' \(did you mean"):
        load_recipe(str(file))
    file.write_text("strategy = ")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load_recipe(str(file))
