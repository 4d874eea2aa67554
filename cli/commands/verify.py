"""``artpack verify``: prove that an artifact is sound."""

from pathlib import Path
from typing import Any

import click

import artpack

from ..main import EXIT_FAULT
from ..options.outputs import Command
from ..options.shared import (
    EXISTING,
    artifact_argument,
    json_option,
    key_option,
    limit_option,
    strip_option,
)
from ..render import verify as render


@click.command(cls=Command, needs="artpack.api.files")
@artifact_argument
@click.option(
    "--against",
    type=EXISTING,
    metavar="CHECKPOINT",
    help="Measure each tensor's error against this.",
)
@key_option
@strip_option
@limit_option
@json_option
def verify(*, artifact: Path, as_json: bool, **settings: Any) -> int:
    """Check every checksum and hash of ARTIFACT; exit code 1 on any fault."""
    result = artpack.verify(artifact, **settings)
    render.report(artifact, result, as_json=as_json)
    return EXIT_FAULT if result.faults else 0
