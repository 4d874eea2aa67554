"""What people write: recipes, overrides and settings."""

import json
import tomllib
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from artpack.evaluation.ttt.load import FOLDER as TTT
from artpack.evaluation.ttt.load import load_recipe as load_ttt
from artpack.models.config import ModelConfig
from artpack.models.presets import PRESETS
from artpack.recipes import FOLDER as RECIPES
from artpack.recipes import load_recipe
from artpack.recipes.loader import RecipeFolder
from artpack.stages.parsing import parse_json
from artpack.training.recipe import FOLDER as TRAININGS
from artpack.training.recipe import load_training
from artpack.training.settings import Training
from tests.fuzz.mutate import change_bytes, change_tree
from tests.fuzz.target import Target, saved

OVERRIDES = (
    b"matrices.quantizer.bits=5",
    b"matrices.quantizer.clip={id='std', k=12.5}",
    b"matrices.min_rows=0",
    b"matrices.match='blocks[.]0'",
)
NAMES = ("blocks.0.attn.c_q.weight", "tok_emb.weight", "norm")


def to_toml(table: dict[Any, Any]) -> str:
    """Write a table whose values are all on one line."""
    return "".join(f"{json.dumps(str(key))} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = (f"{json.dumps(str(key))} = {_value(item)}" for key, item in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(str(value) if isinstance(value, bytes) or value is None else value)


def _change_toml(draw: Random, data: bytes) -> bytes:
    if draw.random() < 0.4:
        return change_bytes(draw, data)
    return to_toml(change_tree(draw, tomllib.loads(data.decode()))).encode()


def change_json(draw: Random, data: bytes) -> bytes:
    """Change bytes, or the tree that they stand for."""
    if draw.random() < 0.2:
        return change_bytes(draw, data)
    changed = change_tree(draw, json.loads(data))
    return json.dumps(changed, default=str).encode()


def _texts(folder: RecipeFolder) -> list[bytes]:
    return [folder.text(name)[1].encode() for name in folder.names()]


def _read_file(load: Callable[[str], Any], data: bytes) -> str:
    with saved(data, "recipe.toml") as path:
        return json.dumps(load(str(path)).to_json(), allow_nan=False)


def _load_rules(source: str) -> Any:
    spec = load_recipe(source)
    for name in NAMES:
        spec.rule_for(name, (64, 64))
    return spec


def _read_override(data: bytes) -> str:
    spec = load_recipe("int6", [data.decode("utf-8", "replace")])
    return json.dumps(spec.to_json(), allow_nan=False)


def _read_model(data: bytes) -> str:
    return json.dumps(ModelConfig.from_json(parse_json(data)).to_json(), allow_nan=False)


def _read_training(data: bytes) -> str:
    return json.dumps(Training.from_json(parse_json(data)).to_json(), allow_nan=False)


TARGETS = (
    Target("recipe", partial(_texts, RECIPES), _change_toml, partial(_read_file, _load_rules)),
    Target("recipe-ttt", partial(_texts, TTT), _change_toml, partial(_read_file, load_ttt)),
    Target(
        *("recipe-training", partial(_texts, TRAININGS), _change_toml),
        partial(_read_file, load_training),
    ),
    Target("override", lambda: list(OVERRIDES), change_bytes, _read_override),
    Target(
        "settings-model",
        lambda: [json.dumps(one.config.to_json()).encode() for one in PRESETS.values()],
        change_json,
        _read_model,
    ),
    Target(
        "settings-training",
        lambda: [json.dumps(load_training(name).to_json()).encode() for name in TRAININGS.names()],
        change_json,
        _read_training,
    ),
)
