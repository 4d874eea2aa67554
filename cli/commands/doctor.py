"""``artpack doctor``: what is installed, and whether the decoders work."""

import click

from ..options.outputs import Command
from ..options.shared import json_option
from ..render import doctor as render


@click.command(cls=Command, needs="artpack.api.doctor")
@json_option
def doctor(*, as_json: bool) -> int:
    """
    Say what is installed and where caches go, and try every decoder.

    Exits with 1 if a decoder fails or a package that artpack always needs is missing.
    """
    from artpack.api.doctor import doctor as examine

    result = examine()
    render.report(result, as_json=as_json)
    return 0 if result.passed else 1
