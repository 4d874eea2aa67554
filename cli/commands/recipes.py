"""``artpack recipes``: what can be asked for."""

import click

from ..options.shared import json_option
from ..render import recipes as render


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def recipes(context: click.Context, *, as_json: bool) -> None:
    """List the recipes and what each does."""
    from artpack.recipes import load_recipe, recipe_names

    if context.invoked_subcommand is None:
        render.listed([load_recipe(name) for name in recipe_names()], as_json=as_json)


@recipes.command()
@click.argument("name", metavar="NAME|FILE.toml")
@json_option
def show(*, name: str, as_json: bool) -> None:
    """Print one recipe."""
    from artpack.recipes import load_recipe, recipe_text

    render.shown(load_recipe(name), recipe_text(name)[1], as_json=as_json)
