"""Packages that GGUF files need."""

from typing import Any

from artpack.system.optional import import_optional

NEED = "GGUF files need"


def import_gguf() -> Any:
    """
    Import the package that knows the types of GGUF files.

    Returns:
        The package ``gguf``.

    Raises:
        UsageError: It is not installed.

    """
    return import_optional("gguf", what=NEED, extra="gguf")


def import_reader(part: str = "") -> Any:
    """
    Import transformers, which knows the names of GGUF's tensors.

    Args:
        part: A module of it.

    Returns:
        The package, or the module.

    Raises:
        UsageError: It is not installed.

    """
    name = f"transformers.{part}" if part else "transformers"
    return import_optional(name, what=NEED, extra="gguf")
