"""
Folders that ``from_pretrained`` reads: weights in shards, and the files that were carried.

Source: Hugging Face transformers, "Sharded checkpoints" and ``save_pretrained``.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from artpack.artifact.reader import Artifact
from artpack.checkpoint.repository import CONFIG_NAME
from artpack.checkpoint.ties import HEADS
from artpack.errors import CorruptError, UsageError
from artpack.models.kinds import quantization_of
from artpack.stages import JsonValue
from artpack.stages.parsing import parse_json
from artpack.system.atomic import write_atomically

RESERVED = "__metadata__"
"""Where a file of safetensors has its metadata."""

_HEADS = tuple(f".{head}" for head in HEADS)

SHARD_BYTES = 5 * 10**9
WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
DTYPE_KEYS = ("dtype", "torch_dtype")
"""What transformers 5 and 4 call the dtype in a ``config.json``."""


def fill_folder(
    artifact: Artifact,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> tuple[int, int]:
    """
    Write an artifact's tensors and files into an empty folder.

    Args:
        artifact: An open one.
        folder: It is there and empty.
        dtype: Write floating-point tensors in this dtype instead of their own.
        shard_bytes: The most tensors of one file, in bytes.

    Returns:
        Number of tensors, and size of all files in bytes.

    Raises:
        ArtifactError: The artifact is damaged, or carries files in the place of weights.
        UsageError: safetensors has no place for a tensor.
        OSError: A file cannot be written.

    """
    files = artifact.files
    config = read_config(files)
    method = None if dtype is None else quantization_of(config)
    if method is not None:
        raise UsageError(
            f"`dtype`: the weights are quantized ({method}), another dtype would part them from"
            " their scales: leave it out"
        )
    tied = _left_to_transformers(artifact, config)
    names = [name for name in artifact.names if name not in tied]
    _write_weights(_shards(artifact, names, dtype=dtype, shard_bytes=shard_bytes), folder)
    if config is not None:
        changed = with_dtype(config, artifact, dtype)
        if changed != config:
            files[CONFIG_NAME] = to_json(changed)
    write_files(files, folder)
    written = (path for path in folder.rglob("*") if path.is_file())
    return len(names), sum(path.stat().st_size for path in written)


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """
    Write carried files below a folder.

    Args:
        files: Relative path to content; the names are those of an artifact, and checked.
        folder: It is there, and has no files but those of weights.

    Raises:
        CorruptError: A file has the name of weights that are there.
        OSError: A file cannot be written.

    """
    taken = {path.name.casefold() for path in folder.iterdir()}
    for name in files:
        if name.split("/")[0].casefold() in taken:
            raise CorruptError(f"the carried file {name!r} is in the place of the weights")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [content])


def read_config(files: dict[str, bytes]) -> dict[str, JsonValue] | None:
    """Return the carried ``config.json`` of transformers; None if there is none that is JSON."""
    try:
        config = parse_json(files.get(CONFIG_NAME, b"null"))
    except UsageError:
        return None
    return config if isinstance(config, dict) else None


def with_dtype(
    config: dict[str, JsonValue], artifact: Artifact, dtype: torch.dtype | None
) -> dict[str, JsonValue]:
    """
    Let a configuration of transformers say what dtype the weights have.

    Args:
        config: The content of a ``config.json``.
        artifact: Whose.
        dtype: What its floating-point tensors are written in; None for their own.

    Returns:
        The same with the dtype of most weights, here and in the configurations inside it.

    """
    weights: Counter[str] = Counter()
    for tensor in artifact.header.plan.tensors:
        own: torch.dtype = getattr(torch, tensor.dtype)
        if own.is_floating_point and own.itemsize > 1:
            weights[tensor.dtype] += math.prod(tensor.shape)
    if not weights:
        return config
    most = weights.most_common(1)[0][0] if dtype is None else str(dtype).removeprefix("torch.")
    changed = _renamed(config, most)
    named = any(key in changed for key in DTYPE_KEYS)
    return changed if named else {**changed, "torch_dtype": most}


def to_json(value: dict[str, JsonValue], *, sort_keys: bool = False) -> bytes:
    """Write JSON as transformers does."""
    return (json.dumps(value, indent=2, sort_keys=sort_keys, ensure_ascii=False) + "\n").encode()


def check_place(name: str, dtype: torch.dtype) -> None:
    """
    Check that safetensors has a place for a tensor; every torch file has.

    Args:
        name: Of the tensor.
        dtype: Its type.

    Raises:
        UsageError: It has none.

    """
    if name == RESERVED:
        raise UsageError(f"{name!r} names no tensor in safetensors: unpack to a .pt file")
    try:
        safetensors.torch.save({name: torch.empty(0, dtype=dtype)})
    except (KeyError, ValueError, safetensors.SafetensorError) as error:
        raise UsageError(f"{name!r}: safetensors has no {dtype}: unpack to a .pt file") from error


def _left_to_transformers(artifact: Artifact, config: dict[str, JsonValue] | None) -> set[str]:
    """Return the names of heads that transformers ties by itself; other ties are written out."""
    if config is None or config.get("tie_word_embeddings") is not True:
        return set()
    return {tie.name for tie in artifact.header.ties if f".{tie.name}".endswith(_HEADS)}


def _write_weights(shards: Iterator[dict[str, Tensor]], folder: Path) -> None:
    """Write files of weights, and an index if there are several."""
    written: list[list[str]] = []
    total = 0
    for shard in shards:
        for name, tensor in shard.items():
            check_place(name, tensor.dtype)
            total += tensor.nbytes
        data = safetensors.torch.save(shard, metadata={"format": "pt"})
        write_atomically(folder / str(len(written)), [data])
        written.append(list(shard))
    if len(written) == 1:
        (folder / "0").rename(folder / WEIGHTS)
        return
    places: dict[str, str] = {}
    for i, held in enumerate(written):
        file = f"model-{i + 1:05}-of-{len(written):05}.safetensors"
        (folder / str(i)).rename(folder / file)
        places |= dict.fromkeys(held, file)
    index: dict[str, JsonValue] = {"metadata": {"total_size": total}, "weight_map": {**places}}
    write_atomically(folder / INDEX, [to_json(index, sort_keys=True)])


def _shards(
    artifact: Artifact, names: list[str], *, dtype: torch.dtype | None, shard_bytes: int
) -> Iterator[dict[str, Tensor]]:
    """Decode tensors one after another; give them in groups that fit a file, at least one."""
    shard: dict[str, Tensor] = {}
    size = 0
    for name in names:
        tensor = artifact.load([name], dtype=dtype)[name].contiguous()
        if shard and size + tensor.nbytes > shard_bytes:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += tensor.nbytes
    yield shard


def _renamed(config: dict[str, JsonValue], dtype: str) -> dict[str, JsonValue]:
    """Put a dtype in the place of every other that a config or one inside it names."""
    changed = dict(config)
    for key, value in config.items():
        if key in DTYPE_KEYS and isinstance(value, str):
            changed[key] = dtype
        elif key.endswith("_config") and key != "quantization_config" and isinstance(value, dict):
            changed[key] = _renamed(value, dtype)
    return changed
