"""The command group, and how errors become one line and an exit code."""

import sys
from importlib import import_module
from importlib.metadata import version
from keyword import iskeyword
from typing import Any

import click

from .markup import printable

COMMANDS = (
    "tokenize",
    "train",
    "calibrate",
    "compress",
    "inspect",
    "verify",
    "unpack",
    "import",
    "export",
    "sweep",
    "eval",
    "audit",
    "models",
    "recipes",
    "demo",
)
EXIT_FAULT = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """Imports a command when it is called, so that ``--help`` and ``--version`` are quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order in which one uses them."""
        return list(COMMANDS)

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
        command: click.Command = getattr(import_module(f".{name}", __package__), name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("artpack"), prog_name="artpack")
def artpack() -> None:
    """Turn a trained checkpoint into the smallest file that still scores."""


def main() -> None:
    """Run the command line; no error shows a traceback unless it is a bug."""
    try:
        # Not the standalone mode: click would catch and print what belongs here.
        result: Any = artpack.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("artpack: interrupted; nothing was written", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away: nobody is left to tell
        sys.exit(EXIT_FAULT)
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        click.echo(f"artpack: {_one_line(error)}", err=True)
        sys.exit(code)
    sys.exit(result if isinstance(result, int) else 0)


def _exit_code(error: Exception) -> int | None:
    from artpack.errors import ArtpackError, RecipeError, UsageError  # noqa: PLC0415 - imports torch

    if isinstance(error, UsageError | RecipeError):
        return EXIT_USAGE
    return EXIT_FAULT if isinstance(error, ArtpackError | OSError) else None


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return printable(f"{name}{error.strerror.lower()}")
    return printable(" ".join(str(error).split()))
