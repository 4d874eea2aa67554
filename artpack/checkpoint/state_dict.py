"""The state dict inside whatever a training script saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from artpack.checkpoint.source import Loaded, listed
from artpack.errors import CheckpointError, UsageError
from artpack.system.late import torch

if TYPE_CHECKING:
    pass

USUAL_KEYS = (
    "model",
    "state_dict",
    "model_state_dict",
    "module",
    "weights",
    "params",
    "ema",
    "ema_state_dict",
)
"""Where training scripts put the state dict, the trained weights before their average."""

LIGHTNING = "pytorch-lightning_version"
"""Key that Lightning writes; it saves its own module, of which the model is an attribute."""


def find_state_dict(content: object, *, key: str | None, where: str) -> Loaded:
    """
    Find the weights in the content of a file.

    Without a key the first of :data:`USUAL_KEYS` that holds tensors is taken,
    and the content itself when there is none.

    Args:
        content: Mappings of mappings, with tensors somewhere.
        key: Where the state dict is, dots between the levels; None for the rule.
        where: The file, for messages.

    Returns:
        The tensors, with notes about what was chosen and what was left out.

    Raises:
        CheckpointError: There are no tensors.
        UsageError: There is nothing under the key.

    """
    if key is not None:
        return only_tensors(_walk(content, key, where), f"{where}, key {key!r}")
    loaded = _find_usual(content, where)
    lightning = isinstance(content, Mapping) and LIGHTNING in content
    return replace(loaded, prefix="model.") if lightning else loaded


def _find_usual(content: object, where: str) -> Loaded:
    chosen = next((usual for usual in USUAL_KEYS if usual in _paths(content)), None)
    if chosen is None or not isinstance(content, Mapping):
        return only_tensors(content, where)
    loaded = only_tensors(content[chosen], where)
    besides = [name for name, value in content.items() if _is_weight(name, value)]
    besides += [path for path in _paths(content) if path != chosen]
    rest = f"; not taken: {listed(map(repr, besides))}" if besides else ""
    return Loaded(loaded.tensors, (f"took the state dict under {chosen!r}{rest}", *loaded.notes))


def only_tensors(content: object, where: str) -> Loaded:
    """
    Take the tensors of a state dict, and leave out what else is in it.

    Args:
        content: Name to tensor, or to anything else.
        where: The file, for messages.

    Returns:
        The tensors, with a note about what was left out.

    Raises:
        CheckpointError: There are no tensors.

    """
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{where}: holds a {type(content).__name__}, not a state dict; "
            "save one with torch.save(model.state_dict(), ...)"
        )
    tensors = {name: value for name, value in content.items() if _is_weight(name, value)}
    rest = listed(f"{k!r} ({type(v).__name__})" for k, v in content.items() if k not in tensors)
    if not tensors:
        paths = listed(map(repr, _paths(content)))
        remedy = f"; choose a key: {paths}" if paths else ""
        raise CheckpointError(f"{where}: no tensors, only {rest or 'an empty dict'}{remedy}")
    return Loaded(tensors, (f"left out, not tensors: {rest}",) if rest else ())


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, torch.Tensor)


def _paths(content: object, depth: int = 3) -> Iterator[str]:
    """Give the dotted keys of the state dicts inside; the depth bounds what may hold itself."""
    if not depth or not isinstance(content, Mapping):
        return
    seen: set[int] = set()
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Mapping) or id(value) in seen:
            continue
        seen.add(id(value))
        if any(_is_weight(inner, value[inner]) for inner in value):
            yield name
        else:
            yield from (f"{name}.{path}" for path in _paths(value, depth - 1))


def _walk(content: object, key: str, where: str) -> object:
    for part in key.split("."):
        if not isinstance(content, Mapping) or part not in content:
            known = listed(map(str, content)) if isinstance(content, Mapping) else "no keys here"
            raise UsageError(f"{where}: nothing under key {key!r}; there are {known}")
        content = content[part]
    return content
