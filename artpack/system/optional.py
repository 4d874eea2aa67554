"""Packages that only some inputs need."""

from importlib import import_module
from typing import Any

from artpack.errors import UsageError


def import_optional(name: str, *, what: str, extra: str) -> Any:
    """
    Import a package that may be missing.

    Args:
        name: The package, or a module of it.
        what: What is to be done with it, for the message: ``GGUF files need``.
        extra: The extra of artpack that brings it.

    Returns:
        The package or the module.

    Raises:
        UsageError: It is not installed.

    >>> import_optional("no_such.part", what="this needs", extra="hf")
    Traceback (most recent call last):
    ...
    artpack.errors.UsageError: this needs no_such, an optional extra: pip install 'artpack[hf]'

    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UsageError(
            f"{what} {package}, an optional extra: pip install 'artpack[{extra}]'"
        ) from error
