"""``artpack recipes``: what can be asked for."""

import click

from artpack.recipes import load_recipe, recipe_names

from . import render
from .options import json_option


@click.command()
@json_option
def recipes(*, as_json: bool) -> None:
    """List the recipes and what each does."""
    render.recipes([load_recipe(name) for name in recipe_names()], as_json=as_json)
