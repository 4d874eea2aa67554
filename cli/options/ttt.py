"""The options of ``artpack eval`` that let a model learn while it is scored."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from artpack import TttOptions
from artpack.errors import UsageError
from artpack.evaluation.ttt.load import DEFAULT_RECIPE, recipe_names

from .outputs import Output

STORED = ""
"""In place of a recipe: the one that came with the weights, or the default."""

R = TypeVar("R")


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


def ttt_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of test-time training, as arguments ``ttt`` and ``curve``."""

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
        if attribute and curve is not None:
            raise UsageError("--attribute takes no --save-curve")
        asked = None
        if ttt is not None or attribute:
            asked = TttOptions(
                recipe=ttt or None,
                overrides=overrides,
                two_pass=two_pass,
                attribute=attribute,
                state=state,
            )
        return command(ttt=asked, curve=curve, **others)

    return gathered
