"""The output of ``artpack recipes``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .tables import print_json, print_table

if TYPE_CHECKING:
    from artpack.recipes.spec import PlanSpec


def listed(specs: "Sequence[PlanSpec]", *, as_json: bool) -> None:
    """Print the recipes."""
    if as_json:
        print_json(list(map(_json, specs)))
        return
    columns = ("recipe", "what it does")
    print_table(columns, [(spec.name, spec.about) for spec in specs], text=columns)


def shown(spec: "PlanSpec", text: str, *, as_json: bool) -> None:
    """Print one recipe: its file as it is, or what it says as data."""
    if as_json:
        print_json(_json(spec))
    else:
        click.echo(text.rstrip())


def _json(spec: "PlanSpec") -> dict[str, Any]:
    return {"about": spec.about, **spec.to_json()}
