"""Small files that go with weights into an artifact, and what the header says of their model."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from artpack.checkpoint.gguf_model import hugging_face_files
from artpack.checkpoint.repository import (
    CONFIG_NAME,
    model_files,
    repository_of,
    tokenizer_files,
    vocabulary_files,
)
from artpack.checkpoint.sharded import choose_file
from artpack.checkpoint.sniff import Kind, sniff
from artpack.checkpoint.source import listed
from artpack.errors import UsageError
from artpack.models.kinds import TRANSFORMERS, transformers_model
from artpack.runners.hugging_face_files import read_tokenizer
from artpack.stages.parsing import parse_json


def find_files(path: Path, *, tokenizer: bool) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """
    Read what lies beside weights of transformers and is needed to load them.

    Args:
        path: The file or folder of weights.
        tokenizer: Whether the tokenizer is wanted.

    Returns:
        Relative path to content, and notes.

    Raises:
        CheckpointError: A file is too large to be carried.

    """
    folder = repository_of(path)
    files = model_files(folder)
    if tokenizer:
        files |= _tokenizer(folder)
    return files, (f"carried: {listed(files)}",) if files else ()


def files_of_gguf(path: Path) -> dict[str, bytes]:
    """Write config and tokenizer of a GGUF file, or a folder with one; nothing for others."""
    file = choose_file(path) if path.is_dir() else path
    return hugging_face_files(file)[0] if sniff(file) is Kind.GGUF else {}


def files_beside(path: Path) -> dict[str, bytes] | None:
    """Read all that comes with weights of transformers; None for any other weights."""
    if within := files_of_gguf(path):
        return within
    config = repository_of(path) / CONFIG_NAME
    if not config.is_file():
        return None
    try:
        known = transformers_model(parse_json(config.read_bytes()))
    except UsageError:
        return None
    return None if known is None else find_files(path, tokenizer=True)[0]


def files_of_module(module: nn.Module) -> dict[str, bytes]:
    """Write the configuration of a model of transformers; nothing for any other module."""
    config: Any = getattr(module, "config", None)
    if not type(module).__module__.startswith(f"{TRANSFORMERS}."):
        return {}
    named: Any = config.to_diff_dict() | {"architectures": [type(module).__name__]}
    text = type(config).from_dict(named).to_json_string()
    files = {CONFIG_NAME: text.encode()}
    generation: Any = getattr(module, "generation_config", None)
    if generation is not None:
        files["generation_config.json"] = generation.to_json_string().encode()
    return files


def _tokenizer(folder: Path) -> dict[str, bytes]:
    """Read a tokenizer's files; what ``tokenizer.json`` is made of only where it is missed."""
    files, sources = tokenizer_files(folder), vocabulary_files(folder)
    spare = {name: content for name, content in sources.items() if name not in files}
    if not spare or importlib.util.find_spec(TRANSFORMERS) is None:
        return files
    config = {CONFIG_NAME: (folder / CONFIG_NAME).read_bytes()}
    whole = _loaded(config | files | spare)
    return files if whole is not None and whole == _loaded(config | files) else files | spare


def _loaded(files: Mapping[str, bytes]) -> tuple[object, ...] | None:
    """Load a tokenizer and return all that tells it from others; None if it cannot be loaded."""
    try:
        tokenizer = read_tokenizer(files)
    except UsageError:
        return None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return (
        type(tokenizer),
        tokenizer.get_vocab() if backend is None else backend.to_str(),
        tokenizer.special_tokens_map,
        tokenizer.chat_template,
        tokenizer.model_max_length,
        tokenizer.padding_side,
    )
