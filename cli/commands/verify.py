"""``artpack verify``: prove that an artifact is sound."""

from pathlib import Path

import click

import artpack

from ..main import EXIT_FAULT
from ..options.shared import (
    EXISTING,
    artifact_argument,
    json_option,
    key_option,
    limit_option,
    strip_option,
)
from ..render import tables as render


@click.command()
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
def verify(
    *,
    artifact: Path,
    against: Path | None,
    key: str | None,
    strip_prefix: str | None,
    max_decoded_bytes: int | None,
    as_json: bool,
) -> int:
    """Check every checksum and hash of ARTIFACT; exit code 1 on any fault."""
    result = artpack.verify(
        artifact,
        against=against,
        key=key,
        strip_prefix=strip_prefix,
        max_decoded_bytes=max_decoded_bytes,
    )
    render.verification(artifact, result, as_json=as_json)
    return EXIT_FAULT if result.faults else 0
