"""Training recipes: one TOML file each, with the published numbers of a system."""

from collections.abc import Sequence

from artpack.recipes.loader import RecipeFolder, overridden
from artpack.training.settings import Training

FOLDER = RecipeFolder("training/recipes", "training recipe")
training_names = FOLDER.names


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
    name, data = FOLDER.read(source)
    with FOLDER.blamed(source):
        training = Training.from_json(data, where=name)
        if steps is not None:
            training = training.scaled(steps)
        return Training.from_json(overridden(training.to_json(), overrides), where=name)
