"""
Libraries that are imported when they are first used, because that takes seconds.

What only reads headers and recipes needs none of torch, and shares modules with what does::

    from artpack.system.late import torch

Annotations do not count as use where they are not evaluated, so such a module begins with
``from __future__ import annotations``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
else:

    class _Late:
        """A module in name only; its attributes are those of the module."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> object:
            """Import the module, unless that was done, and look there."""
            return getattr(import_module(self._name), name)

    torch = _Late("torch")

__all__ = ["torch"]
