"""Checkpoints of several files: the folders and shard indexes of Hugging Face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from artpack.checkpoint.gguf_file import gguf_source
from artpack.checkpoint.onnx_file import onnx_source
from artpack.checkpoint.repository import snapshot_of
from artpack.checkpoint.safetensors_file import safetensors_source
from artpack.checkpoint.sniff import Kind, sniff
from artpack.checkpoint.source import Deferred, Loaded, Source, listed, reason
from artpack.checkpoint.torch_file import torch_source
from artpack.errors import CheckpointError, UsageError
from artpack.stages.parsing import parse_json

if TYPE_CHECKING:
    from torch import Tensor

INDEX_SUFFIX = ".index.json"

_PREFERRED = (
    ("model.safetensors.index.json",),
    ("*.safetensors.index.json",),
    ("model.safetensors",),
    ("*.safetensors",),
    ("pytorch_model.bin.index.json",),
    ("*.bin.index.json",),
    ("pytorch_model.bin",),
    ("*.bin", "*.pt", "*.pth"),
    ("model.onnx",),
    ("*.onnx",),
)


_SOURCES: Mapping[Kind, Callable[[Path], Source]] = {
    Kind.SAFETENSORS: safetensors_source,
    Kind.GGUF: gguf_source,
    Kind.ONNX: onnx_source,
}

_BY_SUFFIX = {".safetensors": Kind.SAFETENSORS, ".onnx": Kind.ONNX}
"""What files are taken for where their content tells nothing, torch aside."""


def choose_file(folder: Path) -> Path:
    """
    Choose the weights in a folder: safetensors before torch, an index before single files.

    Args:
        folder: For example a Hugging Face repository, as it is or in the hub's cache.

    Returns:
        The file.

    Raises:
        CheckpointError: There is none, or there are several of the same rank.

    """
    folder = snapshot_of(folder)
    for patterns in _PREFERRED:
        found = sorted(f for p in patterns for f in folder.glob(p) if _is_visible_file(f))
        if len(found) > 1:
            names = listed(file.name for file in found)
            raise CheckpointError(f"{folder}: which of {names}? give the file instead")
        if found:
            return found[0]
    return _choose_by_content(folder)


def _choose_by_content(folder: Path) -> Path:
    """Choose the only file of weights in a folder where names tell nothing."""
    found = [file for file in sorted(folder.iterdir()) if _is_visible_file(file) and sniff(file)]
    if len(found) == 1:
        return found[0]
    if found:
        names = listed(file.name for file in found)
        raise CheckpointError(f"{folder}: which of {names}? give the file instead")
    raise CheckpointError(
        f"{folder}: no weights in this folder (*.safetensors, *.bin, *.pt, *.gguf, *.onnx)"
    )


def _is_visible_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def index_source(path: Path) -> Source:
    """
    Open the shards that an index lists.

    Args:
        path: ``*.safetensors.index.json`` or ``*.bin.index.json``; the shards lie
            in the same folder.

    Returns:
        The tensors in the order of the index.

    Raises:
        CheckpointError: The index is not sound, or a shard is missing.

    Source: Hugging Face transformers, "Sharded checkpoints".

    """
    weight_map = _read_weight_map(path)
    names: dict[str, list[str]] = {}
    for name, shard in weight_map.items():
        names.setdefault(shard, []).append(name)
    shards = {shard: _shard_source(path, shard) for shard in names}

    def load() -> Loaded:
        tensors: dict[str, Tensor | Deferred] = {}
        notes: list[str] = []
        for shard, source in shards.items():
            loaded = source.load()
            if missing := [name for name in names[shard] if name not in loaded.tensors]:
                raise CheckpointError(f"{path}: {shard} does not hold {listed(missing)}")
            if rest := [name for name in loaded.tensors if weight_map.get(name) != shard]:
                notes.append(f"left out, in {shard} but not in the index: {listed(rest)}")
            notes += [f"{shard}: {note}" for note in loaded.notes]
            tensors |= {name: loaded.tensors[name] for name in names[shard]}
        return Loaded({name: tensors[name] for name in weight_map}, tuple(notes))

    return Source((path, *(path.parent / shard for shard in names)), load)


def _read_weight_map(path: Path) -> dict[str, str]:
    try:
        index = parse_json(path.read_bytes())
    except (OSError, UsageError) as error:
        raise CheckpointError(f"{path}: not a shard index ({reason(error)})") from error
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{path}: not a shard index, it has no 'weight_map'")
    for name, shard in weight_map.items():
        # A shard elsewhere would let an index from a stranger read any file.
        if not isinstance(shard, str) or not _is_file_name(shard):
            raise CheckpointError(f"{path}: {name!r} is in {shard!r}, not a file of this folder")
    return weight_map


def _is_file_name(text: str) -> bool:
    names = (PurePosixPath(text).name, PureWindowsPath(text).name)
    return text not in ("", "..") and names == (text, text)


def _shard_source(index: Path, shard: str) -> Source:
    path = index.parent / shard
    try:
        there = path.is_file()
    except OSError:  # a name longer than any file's
        there = False
    if not there:
        raise CheckpointError(f"{index}: the shard {shard:.200} is missing")
    return file_source(path)


def file_source(path: Path, *, key: str | None = None) -> Source:
    """
    Open a single file of weights by what it is; its suffix counts where that tells nothing.

    Args:
        path: The file.
        key: Where in a file of ``torch.save`` the state dict is.

    Returns:
        Its tensors.

    Raises:
        CheckpointError: It is damaged, or no weights.
        UsageError: It is a safetensors file, and those have no keys.

    """
    kind = sniff(path)
    if kind not in (*_SOURCES, Kind.TORCH):
        kind = _BY_SUFFIX.get(path.suffix, Kind.TORCH)
    if kind not in _SOURCES:
        return torch_source(path, key=key)
    refuse_key(key, path)
    return _SOURCES[kind](path)


def refuse_key(key: str | None, path: Path) -> None:
    """
    Refuse a key for a file that holds one state dict.

    Args:
        key: Where the state dict is said to be.
        path: The file.

    Raises:
        UsageError: There is a key.

    """
    if key is not None:
        raise UsageError(f"key {key!r}: {path.name} holds a single state dict; leave the key out")
