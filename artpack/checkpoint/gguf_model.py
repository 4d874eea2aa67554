"""Config and tokenizer of a GGUF file, as transformers reads them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from artpack.checkpoint.gguf_header import HALVES, read_gguf_header
from artpack.checkpoint.optional import import_reader
from artpack.checkpoint.source import reason
from artpack.errors import CheckpointError
from artpack.system.late import torch

READER = "modeling_gguf_pytorch_utils"

FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What transformers raises where metadata are missing or make no model."""


def unusable(path: Path, error: BaseException) -> CheckpointError:
    """
    Say that transformers cannot use a file.

    Args:
        path: The file.
        error: What it raised.

    Returns:
        The error to raise.

    """
    return CheckpointError(
        f"{path}: transformers cannot make a model of its metadata ({reason(error)})"
    )


def read_metadata(path: Path) -> dict[str, Any] | None:
    """
    Read what a file says of its model.

    Args:
        path: A GGUF file.

    Returns:
        Fields of a config of transformers; None if that does not know the architecture.

    Raises:
        CheckpointError: It knows it, and the metadata are not sound.
        UsageError: It is not installed, or too old.

    """
    status = path.stat()
    return _read_metadata(path, (status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=1)
def _read_metadata(path: Path, _stamp: tuple[int, ...]) -> dict[str, Any] | None:
    """Remember the last file: walking through a vocabulary takes transformers seconds."""
    reader = import_reader(READER)
    try:
        fields: dict[str, Any] = reader.load_gguf_checkpoint(str(path))["config"]
    except FAULTS as error:
        if isinstance(error, ValueError) and "not supported" in str(error):
            return None
        raise unusable(path, error) from error
    return fields


def make_config(fields: dict[str, Any]) -> Any:
    """
    Make a config.

    Args:
        fields: What a file says of its model.

    Returns:
        The config, an object of transformers.

    """
    return import_reader().AutoConfig.for_model(**fields)


def empty_model(config: Any) -> Any:
    """
    Build a model without weights.

    Args:
        config: Its config.

    Returns:
        The model, with a head for tokens if its architecture has one; on the meta device.

    Raises:
        ValueError: transformers has no model of such a config.

    """
    transformers = import_reader()
    with torch.device("meta"):
        if config.architectures:
            return getattr(transformers, config.architectures[0])(config)
        for auto in (transformers.AutoModelForCausalLM, transformers.AutoModelForSeq2SeqLM):
            if type(config) in auto._model_mapping:  # noqa: SLF001 - nothing public tells
                return auto.from_config(config)
        return transformers.AutoModel.from_config(config)


def hugging_face_files(path: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """
    Write what goes with the weights in a folder of Hugging Face.

    Args:
        path: A GGUF file.

    Returns:
        Name to content: the config, the generation config and the tokenizer, as far as
        transformers can make them of the file. Then notes, one line each.

    Raises:
        CheckpointError: The metadata make no model.
        UsageError: A package that this needs is missing.

    """
    fields = read_metadata(path)
    if fields is None:
        return {}, ()
    notes: tuple[str, ...] = ()
    with TemporaryDirectory() as folder:
        try:
            _save_config(fields, _dtype(path), folder)
        except FAULTS as error:
            raise unusable(path, error) from error
        try:
            _save_tokenizer(path, folder)
        except FAULTS as error:
            notes = (f"transformers cannot make a tokenizer of {path.name} ({reason(error)})",)
        files = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
    return files, notes


def _save_config(fields: dict[str, Any], dtype: torch.dtype, folder: str) -> None:
    config = make_config(fields)
    model = empty_model(config)
    config.architectures = [type(model).__name__]
    # Called torch_dtype before 4.56.
    setattr(config, "dtype" if hasattr(config, "dtype") else "torch_dtype", dtype)
    config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)


def _dtype(path: Path) -> torch.dtype:
    """Return what most programs would load the matrices as."""
    matrices = [one for one in read_gguf_header(path).tensors if len(one.shape) > 1]
    kinds = {HALVES.get(one.kind.name, "float32") for one in matrices}
    dtype: torch.dtype = getattr(torch, kinds.pop() if len(kinds) == 1 else "float32")
    return dtype


def _save_tokenizer(path: Path, folder: str) -> None:
    auto = import_reader().AutoTokenizer
    tokenizer = auto.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    tokenizer.save_pretrained(folder)
