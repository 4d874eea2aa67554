"""``artpack models``: the published models that artpack knows by name."""

import click

from ..options.outputs import Command
from ..options.shared import json_option
from ..render import models as render


@click.command(cls=Command, needs="artpack.models")
@json_option
def models(*, as_json: bool) -> None:
    """List the models that --model knows by name, and their numbers of parameters."""
    from artpack.models import PRESETS, parameter_count

    counts = {name: parameter_count(preset.config) for name, preset in PRESETS.items()}
    render.report(PRESETS, counts, as_json=as_json)
