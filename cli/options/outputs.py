"""The files that a command writes, looked at before its work begins."""

import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from os import PathLike, fsdecode, fstat
from pathlib import Path
from typing import Any

import click

from artpack.errors import ArtpackError, UsageError
from artpack.system.atomic import check_folder, check_writable

from ..written import Outputs
from .groups import write_grouped

_READ_AS = {
    "artifact": "artifact",
    "checkpoint": "checkpoint",
    "source": "checkpoint",
    "file": "source",
    "tokens": "tokens",
    "tokenizer": "tokenizer",
    "texts": "text",
}
"""What parameters read, in the words of messages."""


class Output(click.Path):
    """
    A file that a command writes, or a folder that it writes files into.

    Args:
        folder: Whether it is one.
        inputs_first: Whether the command says first what is wrong with its inputs, and looks
            itself with :func:`refuse_inputs` whether the output is one of them.
        is_for_folder: Tells names of folders from those of files, where there may be either.
    """

    def __init__(
        self,
        *,
        folder: bool = False,
        inputs_first: bool = False,
        is_for_folder: Callable[[Path], bool] | None = None,
    ) -> None:
        either = is_for_folder is not None
        super().__init__(file_okay=either or not folder, dir_okay=either or folder, path_type=Path)
        self._is_for_folder = is_for_folder or (lambda _: folder)
        self.inputs_first = inputs_first

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse a folder where the name is that of a file."""
        path = Path(fsdecode(super().convert(value, param, ctx)))
        if self.file_okay and not self.is_folder(path) and path.is_dir():
            self.fail(f"File '{path}' is a directory.", param, ctx)
        return path

    def is_folder(self, path: Path) -> bool:
        """Return whether files are written into this path."""
        return self._is_for_folder(path)


class Command(click.Command):
    """
    A command whose outputs are looked at before it begins, and whose options have groups.

    Args:
        *args: As click takes them.
        needs: Module of the library that it cannot do without, imported before it runs.
        **others: As click takes them.
    """

    def __init__(self, *args: Any, needs: str = "artpack.errors", **others: Any) -> None:
        super().__init__(*args, **others)
        self.needs = needs

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by group."""
        write_grouped(self.get_params(ctx), ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Check the outputs, then run the command."""
        written: set[Path] = set()
        if not ctx.params.get("dry_run"):
            for param in self.get_params(ctx):
                path = ctx.params.get(param.name or "")
                if isinstance(param.type, Output) and path is not None:
                    folder = param.type.is_folder(path)
                    if not folder and not param.type.inputs_first:
                        refuse_inputs(path)
                    check_output(path, folder=folder)
                    if path.resolve() in written:
                        raise UsageError(f"{path}: would be written twice: give another name")
                    written.add(path.resolve())
        return super().invoke(ctx)


def check_output(path: Path, *, folder: bool = False) -> None:
    """
    Check that the command that runs can write a file, and remember what it was like.

    Args:
        path: The file, or the folder that files are written into.
        folder: Whether it is one.

    Raises:
        OSError: It cannot be written.

    """
    ctx = click.get_current_context()
    if folder:
        check_folder(path)
    else:
        check_writable(path)
    outputs = ctx.find_object(Outputs)
    if outputs is not None:
        outputs.watch(path)
    if _is_standard_output(path):
        # What there is to say would end up in the file.
        ctx.with_resource(redirect_stdout(sys.stderr))


def refuse_inputs(output: Path) -> None:
    """
    Check that the command that runs does not read the file that it is to write.

    Args:
        output: The file.

    Raises:
        UsageError: It does.

    """
    if not output.is_file():
        return
    ctx = click.get_current_context()
    for param in ctx.command.get_params(ctx):
        names_files = isinstance(param.type, click.Path | click.types.StringParamType)
        if names_files and not isinstance(param.type, Output):
            for path in _files(ctx.params.get(param.name or "")):
                if path.samefile(output):
                    what = _READ_AS.get(param.name or "", "input")
                    raise UsageError(f"{output}: would replace its {what}: give another name")


def _files(value: object) -> Iterator[Path]:
    """Yield the files that a parameter names: one, a pattern's, or a checkpoint's shards."""
    from artpack.checkpoint import checkpoint_files

    if isinstance(value, tuple):
        for one in value:
            yield from _files(one)
    elif isinstance(value, str | PathLike):
        path = Path(value)
        with suppress(OSError, ValueError):
            # A name with brackets is a name first, and then a pattern.
            yield from filter(Path.is_file, (path, *path.parent.glob(path.name)))
        with suppress(ArtpackError, OSError):
            yield from checkpoint_files(path)


def _is_standard_output(path: Path) -> bool:
    with suppress(OSError, ValueError):
        there, own = path.stat(), fstat(1)
        return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)
    return False
