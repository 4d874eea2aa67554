"""``artpack models``: the published models that artpack knows by name."""

import click

from artpack.models import PRESETS, parameter_count

from ..options.shared import json_option
from ..render import eval as render_eval


@click.command()
@json_option
def models(*, as_json: bool) -> None:
    """List the models that --model knows by name, and their numbers of parameters."""
    counts = {name: parameter_count(preset.config) for name, preset in PRESETS.items()}
    render_eval.models(PRESETS, counts, as_json=as_json)
