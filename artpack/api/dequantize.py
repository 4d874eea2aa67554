"""Folders of Hugging Face whose weights are quantized already, as the weights they stand for."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from artpack.api.carried import find_files
from artpack.checkpoint.repository import CONFIG_NAME, repository_of, snapshot_of
from artpack.checkpoint.source import reason
from artpack.errors import CheckpointError, UsageError
from artpack.models.kinds import quantization_of
from artpack.runners.hugging_face_files import LOCAL, import_transformers, model_class
from artpack.stages.parsing import parse_json
from artpack.system.atomic import write_atomically


@contextmanager
def dequantized(source: object) -> Iterator[Path]:
    """
    Let transformers compute the weights that a quantized checkpoint stands for.

    Args:
        source: A folder of Hugging Face.

    Yields:
        A folder with these weights in float32 and the same small files; gone afterwards.

    Raises:
        CheckpointError: transformers cannot do that here; says what is missing.
        UsageError: It is no such folder, or transformers only runs what it holds.

    """
    one = source[0] if isinstance(source, list | tuple) and len(source) == 1 else source
    if not isinstance(one, str | os.PathLike):
        raise UsageError("`dequantize`: one folder of Hugging Face is needed")
    folder = repository_of(snapshot_of(Path(one)))
    config = folder / CONFIG_NAME
    method = quantization_of(parse_json(config.read_bytes())) if config.is_file() else None
    if method is None:
        raise UsageError(
            f"`dequantize`: {folder} has no {CONFIG_NAME} with a quantization_config: leave it out"
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        try:
            _load(folder, method).save_pretrained(name)
        except UsageError:
            raise
        except Exception as error:  # whatever transformers makes of a stranger's files
            raise CheckpointError(
                f"{folder}: transformers cannot dequantize {method} here: {reason(error)}"
            ) from error
        _complete(Path(name), folder)
        yield Path(name)


def _load(folder: Path, method: str) -> Any:
    transformers = import_transformers()
    config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
    stored: Any = config.quantization_config
    known = transformers.quantizers.auto.AutoQuantizationConfig.from_dict(dict(stored))
    if not hasattr(known, "dequantize"):
        raise UsageError(f"`dequantize`: transformers only runs {method}, it gives no weights back")
    known.dequantize = True
    config.quantization_config = known.to_dict() | {"dequantize": True}
    return model_class(config).from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
    )


def _complete(target: Path, folder: Path) -> None:
    """Add the small files that the model has not written itself."""
    for name, content in find_files(folder, tokenizer=True)[0].items():
        path = target / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, [content])
