"""The command group, and how errors become one line and an exit code."""

import sys
from collections.abc import Sequence
from errno import ENOSPC
from importlib import import_module
from importlib.metadata import version
from keyword import iskeyword
from typing import Any

import click

from artpack.errors import ArtpackError, RecipeError, UsageError

from .entry import EXIT_INTERRUPTED
from .options.outputs import Command
from .render.flags import with_flags
from .render.markup import printable
from .signals import interrupting
from .written import Outputs

COMMANDS = {
    "tokenize": "Train a tokenizer on texts, and write them as token shards.",
    "train": "Train a model from scratch.",
    "calibrate": "Collect what compress needs to know of the data.",
    "compress": "Pack a checkpoint, or the average of several.",
    "finetune": "Pack a checkpoint that learns on tokens to fit.",
    "inspect": "Show where the bytes of an artifact went.",
    "compare": "Put files of one model side by side.",
    "verify": "Check every checksum and hash of an artifact.",
    "rebuild": "Make an artifact again, and compare byte for byte.",
    "unpack": "Decode an artifact into a file that other tools read.",
    "bundle": "Write a decoder of an artifact that needs numpy alone.",
    "submit": "Make a folder for a contest, scored by its own script.",
    "import": "Repack the container of another system.",
    "export": "Write an artifact as the container of another system.",
    "sweep": "Pack to several budgets and by every recipe.",
    "eval": "Score an artifact or a checkpoint in bits per byte.",
    "audit": "Look for what is illegal about a score, or wrong with a submission.",
    "models": "List the models that --model knows by name.",
    "recipes": "List the recipes and what each does.",
    "doctor": "Say what is installed, and try every decoder.",
    "demo": "Do all of this with the model that comes with artpack.",
}
"""In the order in which one uses them, each with what the list of commands says."""

HELP = ("-h", "--help")
EXIT_FAULT = 1
EXIT_USAGE = 2


class LazyGroup(click.Group):
    """Imports a command when it is called, so that ``--help`` and ``--version`` are quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order in which one uses them."""
        return list(COMMANDS)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        # What Python has reserved carries an underscore, as PEP 8 says.
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(import_module(f".commands.{name}", __package__), name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": HELP})
@click.version_option(version("artpack"), prog_name="artpack")
def artpack() -> None:
    """Turn a trained checkpoint into the smallest file that still scores."""


def load(words: Sequence[str]) -> None:
    """Import the command that is asked for, if there is one, and what it needs; help needs less."""
    for word in words[:1]:
        command = artpack.get_command(click.Context(artpack), word)
        if isinstance(command, Command) and not set(HELP) & set(words):
            import_module(command.needs)


def main() -> None:
    """Run the command line; no error shows a traceback unless it is a bug."""
    outputs = Outputs()
    try:
        with interrupting(), outputs.no_empty_folders():
            # Not the standalone mode: click would catch and print what belongs here.
            result: Any = artpack.main(standalone_mode=False, obj=outputs)
            if sys.stdout is not None:  # as it is where a shell has closed it
                sys.stdout.flush()
    except click.UsageError as error:
        _show_usage(error)
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        said = ", ".join(map(str, outputs.written())) or "nothing"
        line = f"interrupted; {said} was written{outputs.going_on()}"
        click.echo(f"artpack: {printable(line)}", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and error.filename is None:
            sys.stderr.close()  # the reader of our output went away: nobody is left to tell
            sys.exit(EXIT_FAULT)
        code = _exit_code(error)
        if code is None:
            raise
        click.echo(f"artpack: {_one_line(error)}{printable(outputs.going_on())}", err=True)
        sys.exit(code)
    sys.exit(result if isinstance(result, int) else 0)


def _show_usage(error: click.UsageError) -> None:
    if type(error).show is not click.UsageError.show:
        error.show()  # the help of a group that was given no command
        return
    path = "artpack" if error.ctx is None else error.ctx.command_path
    said = " ".join(error.format_message().split()).removesuffix(".")
    click.echo(f"artpack: {printable(said)}; try '{path} --help'", err=True)


def _exit_code(error: Exception) -> int | None:
    if isinstance(error, UsageError | RecipeError):
        return EXIT_USAGE
    return EXIT_FAULT if isinstance(error, ArtpackError | OSError) else None


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        # Whatever writes files names them in its errors.
        full = "standard output" if error.errno == ENOSPC else None
        name = error.filename or full
        return printable(f"{name}: {error.strerror.lower()}" if name else error.strerror.lower())
    return printable(with_flags(" ".join(str(error).split())))
