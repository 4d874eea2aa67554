"""``artpack bundle``: write a decoder that needs nothing but numpy, or but a C compiler."""

from pathlib import Path

import click

import artpack

from ..options.outputs import Command
from ..options.shared import artifact_argument, json_option, output_option
from ..render import bundle as render


@click.command(cls=Command, needs="artpack.api.bundle")
@artifact_argument
@output_option("A Python module, or C.")
@click.option(
    "--class",
    "class_name",
    metavar="NAME",
    help="Put everything into this class, to be pasted into another file.",
)
@click.option(
    "--c", is_flag=True, help="Write C99 instead: one file that decodes all portable artifacts."
)
@click.option("--readable", is_flag=True, help="Write source for people, not in few bytes.")
@click.option(
    "--self-test",
    is_flag=True,
    help="Decode ARTIFACT by the module alone, and compare every tensor.",
)
@json_option
def bundle(
    *,
    artifact: Path,
    output: Path,
    class_name: str | None,
    c: bool,
    readable: bool,
    self_test: bool,
    as_json: bool,
) -> None:
    """Write a decoder of ARTIFACT that needs Python and numpy alone, or a C compiler."""
    result = artpack.bundle(artifact, class_name=class_name, self_test=self_test, c=c)
    size = result.bundle.save(output, readable=readable)
    render.report(output, size, result, as_json=as_json)
