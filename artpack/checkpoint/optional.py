"""Packages that only some checkpoints need."""

from importlib import import_module
from typing import Any

from artpack.errors import UsageError


def import_gguf() -> Any:
    """
    Import the package that knows the types of GGUF files.

    Returns:
        The package ``gguf``.

    Raises:
        UsageError: It is not installed.

    """
    return _import("gguf")


def import_transformers(part: str = "") -> Any:
    """
    Import transformers, which knows the names of GGUF's tensors.

    Args:
        part: A module of it.

    Returns:
        The package, or the module.

    Raises:
        UsageError: It is not installed.

    """
    return _import(f"transformers.{part}" if part else "transformers")


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UsageError(
            f"GGUF files need {package}, an optional extra: pip install 'artpack[gguf]'"
        ) from error
