"""The folder beside an output in which a command keeps what it has found so far."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artpack.errors import BudgetError, CheckpointError, RecipeError, UsageError

from .render.markup import printable
from .written import Outputs

if TYPE_CHECKING:
    import artpack

ENDING = ".run"


@contextmanager
def run_folder(output: Path | None) -> Iterator["artpack.RunFolder | None"]:
    """
    Keep results of the command that runs in a folder beside its output.

    The folder is deleted when the command is done, or has failed as it would again. It stays when
    the command is interrupted, a disk is full, or a cluster went away.

    Args:
        output: The output; None if nothing is written.

    Yields:
        The folder; None where there is no place for one, as beside standard output.

    """
    if output is None or (output.exists() and not output.is_file()):
        yield None
        return
    from artpack.system.ranks import Ranks
    from artpack.system.run_folder import RunFolder

    ctx, first = click.get_current_context(), Ranks.current().rank == 0
    path = output.with_name(output.name + ENDING)
    folder = RunFolder(path, str(ctx.info_name), said=_say if first else None)
    outputs = ctx.find_object(Outputs)
    if outputs is not None:
        outputs.run = folder
    try:
        yield folder
    except (BudgetError, CheckpointError, RecipeError, UsageError):
        if first:
            folder.remove()
        raise
    if first:
        folder.remove()


def _say(line: str) -> None:
    click.echo(f"artpack: {printable(line)}", err=True)
