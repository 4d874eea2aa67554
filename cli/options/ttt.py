"""The options that let a model learn while it is scored."""

from pathlib import Path

import click

import artpack
from artpack.errors import UsageError

from .groups import as_argument
from .outputs import Output

RECIPES = "blocks, lora, phased, pr1123, pr1934, pr2086, pr576, pr826, scalars"

recipe_option = click.option(
    "--ttt",
    "recipe",
    is_flag=False,
    flag_value="",
    metavar="[RECIPE]",
    help=f"Let the model learn from what it has scored (test-time training): {RECIPES}, or a"
    " TOML file; alone, the recipe that ARTIFACT carries, or scalars.",
)
set_option = click.option(
    "--ttt-set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change that recipe: rule.lr=0.01.",
)


def _options(
    recipe: str | None,
    overrides: tuple[str, ...],
    *,
    two_pass: bool = False,
    attribute: bool = False,
    state: Path | None = None,
) -> "artpack.TttOptions | None":
    if recipe is None and not attribute:
        if overrides or two_pass or state:
            raise UsageError("--ttt-set, --two-pass and --resume go with --ttt")
        return None
    return artpack.TttOptions(
        recipe=recipe or None,
        overrides=overrides,
        two_pass=two_pass,
        attribute=attribute,
        state=state,
    )


recipe_options = as_argument("ttt", _options, recipe_option, set_option)
ttt_options = as_argument(
    "ttt",
    _options,
    recipe_option,
    set_option,
    click.option(
        "--two-pass",
        is_flag=True,
        help="Score once more with what was learned; that score is not score-first.",
    ),
    click.option(
        "--attribute",
        is_flag=True,
        help="Say where the gain comes from: windows, learning, temperature.",
    ),
    click.option(
        "--resume",
        "state",
        type=Output(),
        metavar="FILE",
        help="Keep the state of the adaptation in FILE, and carry on from it if it is there.",
    ),
)
