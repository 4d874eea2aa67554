"""Training recipes: one TOML file each, with the published numbers of a system."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from artpack.errors import ArtpackError, RecipeError
from artpack.stages import nearest
from artpack.stages.parsing import parse_toml, parse_value
from artpack.train.settings import Training


def training_names() -> list[str]:
    """
    List the training recipes that come with the package.

    Returns:
        Their names, sorted.

    """
    folder = files("artpack.train").joinpath("recipes")
    names = (item.name for item in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_training(
    source: str, overrides: Sequence[str] = (), *, steps: int | None = None
) -> Training:
    """
    Read a training recipe.

    Args:
        source: Name of a recipe of the package, or path of a TOML file.
        overrides: ``KEY=VALUE``: a dotted path into the recipe and TOML or plain text;
            a number in it counts from 0, as in ``groups.1.lr=0.01``.
        steps: Scale the run to so many steps, before ``overrides`` are made.

    Returns:
        The settings.

    Raises:
        RecipeError: There is no such recipe, it is not valid TOML, or a key or
            value in it or in an override is wrong.

    >>> load_training("plain", ["batches.tokens=16384"], steps=500).schedule.warmup_steps
    10

    """
    name, text = _text(source)
    try:
        training = Training.from_json(parse_toml(text), where=name)
        if steps is not None:
            training = training.scaled(steps)
        data = training.to_json()
        for override in overrides:
            _override(data, override)
        return Training.from_json(data, where=name)
    except RecipeError:
        raise
    except ArtpackError as error:
        raise RecipeError(f"training recipe {source}: {error}") from error


def _text(source: str) -> tuple[str, str]:
    if source in training_names():
        path = files("artpack.train").joinpath("recipes", f"{source}.toml")
        return source, path.read_text("utf-8")
    file = Path(source)
    if file.suffix != ".toml":
        raise RecipeError(f"unknown training recipe {source!r}{nearest(source, training_names())}")
    try:
        return file.stem, file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"training recipe {source}: cannot be read: {error}") from error


def _override(data: Any, override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override!r}: write it as KEY=VALUE")
    *path, last = key.strip().split(".")
    for step in path:
        data = _entry(data, step, key)
    _entry(data, last, key)
    data[int(last) if isinstance(data, list) else last] = parse_value(value)


def _entry(data: Any, step: str, key: str) -> Any:
    if isinstance(data, list) and step.isdecimal() and int(step) < len(data):
        return data[int(step)]
    if isinstance(data, dict) and step in data:
        return data[step]
    known = data if isinstance(data, dict) else map(str, range(len(data or ())))
    raise RecipeError(f"--set {key}: no {step!r} there{nearest(step, known)}")
