"""Names without what wrappers of modules put into them."""

import re
from collections.abc import Callable
from dataclasses import replace

from artpack.checkpoint.source import Loaded, listed
from artpack.errors import CheckpointError, UsageError

WRAPPERS = (
    "_orig_mod",
    "_checkpoint_wrapped_module",
    "_fsdp_wrapped_module",
    "_fpw_module",
    "_forward_module",
)
"""Attributes of torch.compile, activation checkpointing, FSDP and its forerunner, and Fabric."""

# A wrapper may be around any block. "module", of DistributedDataParallel and DataParallel, is
# a name that a model may use itself, so it counts only in front of everything.
_WRAPPER = re.compile(rf"(?<![^.])(?:{'|'.join(WRAPPERS)})\.(?=.)")
_FRONT = re.compile(r"^(?:module\.)+(?=.)")


def strip_prefixes(loaded: Loaded) -> Loaded:
    """
    Take out what wrappers put into names, anywhere, and what the saving program put before them.

    Args:
        loaded: Any tensors.

    Returns:
        The same under their own names; a note if there was something to strip.

    Raises:
        CheckpointError: Two tensors would get the same name.

    """
    stripped = _renamed(loaded, lambda full: _FRONT.sub("", _WRAPPER.sub("", full)))
    if not loaded.prefix:
        return stripped
    return _renamed(stripped, lambda full: full.removeprefix(loaded.prefix) or full)


def strip_given(loaded: Loaded, prefix: str) -> Loaded:
    """
    Take a prefix off the names that begin with it.

    Args:
        loaded: Any tensors.
        prefix: What to take off; a dot at its end may be left out.

    Returns:
        The same under shorter names, with a note.

    Raises:
        CheckpointError: Two tensors would get the same name.
        UsageError: No name begins with the prefix.

    """
    front = prefix if prefix.endswith(".") else f"{prefix}."
    stripped = _renamed(loaded, lambda full: full.removeprefix(front) or full)
    if stripped is loaded:
        raise UsageError(
            f"strip_prefix {prefix!r}: no name begins with it; there are {listed(loaded.tensors)}"
        )
    return stripped


def _renamed(loaded: Loaded, rename: Callable[[str], str]) -> Loaded:
    origin: dict[str, str] = {}
    for full in loaded.tensors:
        name = rename(full)
        if name in origin:
            raise CheckpointError(f"{origin[name]!r} and {full!r} are the same without prefix")
        origin[name] = full
    cut = [_cut(full, name) for name, full in origin.items() if name != full]
    if not cut:
        return loaded
    note = f"stripped {listed(map(repr, sorted(set(cut))))} from {len(cut)} names"
    tensors = {name: loaded.tensors[full] for name, full in origin.items()}
    return replace(loaded, tensors=tensors, notes=(*loaded.notes, note))


def _cut(full: str, name: str) -> str:
    """Return what was taken off: the front, or the wrappers inside."""
    front = full.removesuffix(name)
    return front if front != full else "".join(_WRAPPER.findall(full))
