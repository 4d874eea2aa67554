"""``artpack inspect``: where the bytes of an artifact went."""

from pathlib import Path

import click

from artpack.errors import UsageError

from ..options.outputs import Command, Output
from ..options.shared import artifact_argument, json_option, limit_option
from ..render import inspect as render


@click.command(cls=Command, needs="artpack.artifact.reader")
@artifact_argument
@json_option
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--html", type=Output(), metavar="FILE", help="Write one self-contained page.")
@click.option(
    "--sort", type=click.Choice(list(render.SORTS)), help="Order of the rows; by default as stored."
)
@click.option(
    "--entropy",
    is_flag=True,
    help="Decode all of it, and compare with the entropy of the symbols; --html always does.",
)
@click.option("--tensor", default="", metavar="REGEX", help="Only tensors whose name matches.")
@limit_option
def inspect(
    *,
    artifact: Path,
    as_json: bool,
    markdown: bool,
    html: Path | None,
    sort: str | None,
    entropy: bool,
    tensor: str,
    max_decoded_bytes: int | None,
) -> None:
    """Show where the bytes of ARTIFACT went, to the byte."""
    from artpack.artifact.reader import open_artifact
    from artpack.stages.patterns import compiled

    if sum([as_json, markdown, html is not None]) > 1:
        raise click.UsageError("--json, --markdown and --html exclude each other")
    if html is not None and (tensor or sort):
        raise click.UsageError("the page has all tensors and sorts itself: no --tensor, no --sort")
    try:
        wanted = compiled(tensor)
    except UsageError as error:
        raise click.BadParameter(str(error), param_hint="--tensor") from error
    with open_artifact(artifact, max_decoded_bytes=max_decoded_bytes) as opened:
        description = opened.inspect(entropy=entropy or html is not None)
        header = opened.header
    if html is not None:
        render.page(html, artifact.name, description, header)
        return
    rows = [row for row in description.tensors if wanted.found_in(row.name)]
    if sort is not None:
        rows.sort(key=render.SORTS[sort])
    if as_json:
        render.as_json(description, rows, header)
    else:
        render.as_table(description, rows, markdown=markdown)
