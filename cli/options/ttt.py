"""The options of ``artpack eval`` that let a model learn while it is scored."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from artpack.errors import UsageError
from artpack.evaluate.ttt.load import (
    DEFAULT_RECIPE,
    Named,
    load_recipe,
    recipe_names,
    stored_recipe,
)
from artpack.stages import Config

from .outputs import Output

STORED = ""
"""In place of a recipe: the one that came with the weights, or the default."""

R = TypeVar("R")


@dataclass(frozen=True)
class Adapting:
    """
    How a model is to learn while it is scored.

    Attributes:
        recipe: Name or file; :data:`STORED` for what came with the weights.
        overrides: Changes of the recipe.
        two_pass: Score once more with what was learned.
        attribute: Instead of one score, say where the gain comes from.
        curve: A file for the running scores.
        state: A file that the state is kept in.
    """

    recipe: str
    overrides: tuple[str, ...]
    two_pass: bool = False
    attribute: bool = False
    curve: Path | None = None
    state: Path | None = None

    def __post_init__(self) -> None:
        if self.attribute and (self.two_pass or self.curve or self.state):
            raise UsageError("--attribute takes no --two-pass, --save-curve or --resume")

    def chosen(self, carried: Config | None, *, faithful: bool) -> Named:
        """Return the recipe that was asked for; ``carried`` came with the weights."""
        if self.recipe == STORED and carried is not None:
            return stored_recipe(carried, self.overrides, faithful=faithful)
        return load_recipe(self.recipe or DEFAULT_RECIPE, self.overrides, faithful=faithful)


ttt_option = click.option(
    "--ttt",
    is_flag=False,
    flag_value=STORED,
    metavar="[RECIPE]",
    help="Let the model learn from what it has scored (test-time training):"
    f" {', '.join(recipe_names())}, or a TOML file; alone, the recipe that ARTIFACT"
    f" carries, or {DEFAULT_RECIPE}.",
)
overrides_option = click.option(
    "--ttt-set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change that recipe: rule.lr=0.01.",
)


def adapting_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of test-time training, as one argument ``adapting``."""

    @ttt_option
    @overrides_option
    @click.option(
        "--two-pass",
        is_flag=True,
        help="Score once more with what was learned; that score is not score-first.",
    )
    @click.option(
        "--attribute",
        is_flag=True,
        help="Say where the gain comes from: windows, learning, temperature.",
    )
    @click.option(
        "--save-curve",
        "curve",
        type=Output(),
        metavar="FILE.csv",
        help="Write the running score of every chunk.",
    )
    @click.option(
        "--resume",
        "state",
        type=Output(),
        metavar="FILE",
        help="Keep the state of the adaptation in FILE, and carry on from it if it is there.",
    )
    @functools.wraps(command)
    def gathered(
        *,
        ttt: str | None,
        overrides: tuple[str, ...],
        two_pass: bool,
        attribute: bool,
        curve: Path | None,
        state: Path | None,
        **others: Any,
    ) -> R:
        given = bool(overrides or two_pass or curve or state)
        if ttt is None and given and not attribute:
            raise UsageError("--ttt-set, --two-pass, --save-curve and --resume go with --ttt")
        asked = None
        if ttt is not None or attribute:
            asked = Adapting(ttt or STORED, overrides, two_pass, attribute, curve, state)
        return command(adapting=asked, **others)

    return gathered
