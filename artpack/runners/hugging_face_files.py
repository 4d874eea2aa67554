"""
Files of a model of transformers: its config, its tokenizer, and the model built of them.

Needs transformers, which ``pip install 'artpack[hf]'`` brings; nothing is fetched and no
code of a stranger is run.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from artpack.checkpoint.source import listed, reason
from artpack.errors import CheckpointError, UsageError
from artpack.models.kinds import DEQUANTIZED, quantization_of
from artpack.stages.finite import check_weights
from artpack.system.atomic import write_atomically
from artpack.system.optional import import_optional

CONFIG = "config.json"
LOCAL: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""Nothing is fetched, and no code of a folder is run."""

VOCABULARY = ("tokenizer", "vocab", "spiece", "spm", "merges", "tekken")
"""How names of files begin that hold a tokenizer, and :data:`VOCABULARY_ENDS` how they end."""

VOCABULARY_ENDS = (".spm", ".tiktoken", ".codes", ".bpe.model")

DEQUANTIZE = "; packed with `dequantize`, the plain weights that they stand for are"

MOST_ASKED = 2
"""Tied weights are stored once, and counted twice where they are not tied yet."""

SPARE_WEIGHTS = 1 << 20
"""A checkpoint may lack a part that transformers then makes anew: a pooler, a small head."""


class Built(NamedTuple):
    """
    A model, and what is to be known of it.

    Attributes:
        module: The model on the CPU, in evaluation mode.
        notes: One line each.
    """

    module: nn.Module
    notes: tuple[str, ...]


def build_transformers(files: Mapping[str, bytes], tensors: Mapping[str, Tensor]) -> Built:
    """
    Build a model of transformers in float32.

    Args:
        files: At least its ``config.json``.
        tensors: Its weights, under the names that its files have.

    Returns:
        The model, and a note if it has no use for some of the tensors.

    Raises:
        UsageError: transformers is not installed, or does not know the model.
        CheckpointError: The tensors are those of another model.
        ScoreError: A weight is NaN or infinite.

    """
    method = quantization_of(json.loads(files[CONFIG]))
    if method is not None:
        raise UsageError(
            f"its weights are quantized already ({method}): they are packed as they are, and not"
            f" run{DEQUANTIZE if method in DEQUANTIZED else ''}"
        )
    config = read_config(files)
    cls = model_class(config)
    try:
        with torch.device("meta"):
            empty = cls(config)
    except Exception as error:  # whatever transformers makes of a stranger's files
        raise CheckpointError(
            f"transformers cannot build {cls.__name__}: {reason(error)}"
        ) from error
    check_size(empty, sum(tensor.numel() for tensor in tensors.values()))
    try:
        module, told = cls.from_pretrained(
            None,
            config=config,
            state_dict=dict(tensors),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # whatever transformers makes of a stranger's files
        raise CheckpointError(
            f"transformers cannot build {cls.__name__}: {reason(error)}"
        ) from error
    _check_loaded(cls.__name__, told)
    check_weights(dict(module.named_parameters()), "the model")
    spare = sorted(told["unexpected_keys"])
    note = f"{len(spare)} tensors are no part of the {cls.__name__} that {CONFIG} describes"
    return Built(module.eval(), (f"{note}: {listed(spare)}",) if spare else ())


def check_size(model: nn.Module, held: int) -> None:
    """
    Refuse a configuration that asks for far more memory than there are weights.

    Args:
        model: What it describes, without memory for its weights.
        held: How many weights there are.

    Raises:
        CheckpointError: It does.

    """
    asked = sum(parameter.numel() for parameter in model.parameters())
    if asked > MOST_ASKED * held + SPARE_WEIGHTS:
        raise CheckpointError(
            f"its {CONFIG} describes a model of {asked} weights, and there are {held}"
        )


def model_class(config: Any) -> Any:
    """
    Find the class of a model.

    Args:
        config: Of transformers.

    Returns:
        The class that it names, or where it names none the one without a head.

    Raises:
        UsageError: This transformers has no such model.

    """
    transformers, named = import_transformers(), getattr(config, "architectures", None)
    name = named[0] if isinstance(named, list) and named else None
    if name is None:
        return transformers.MODEL_MAPPING[type(config)]
    found = getattr(transformers, name, None) if isinstance(name, str) else None
    if not isinstance(found, type) or not issubclass(found, transformers.PreTrainedModel):
        raise UsageError(f"this transformers does not know the model {name!r}: install a newer one")
    return found


def _check_loaded(name: str, told: Mapping[str, Any]) -> None:
    """Check that a model finds all of its weights."""
    found = {
        "missing": sorted(told["missing_keys"]),
        "of another shape": sorted(str(key[0]) for key in told["mismatched_keys"]),
    }
    for what, names in found.items():
        if names:
            raise CheckpointError(
                f"{name}: {len(names)} weights are {what}, {names[0]!r} first: these are not the"
                f" weights that {CONFIG} describes"
            )


def read_config(files: Mapping[str, bytes]) -> Any:
    """
    Read a model's config.

    Args:
        files: At least its ``config.json``.

    Returns:
        The config of transformers, for a model in float32 that is not quantized.

    Raises:
        UsageError: transformers is not installed, or cannot read it.

    """
    transformers = import_transformers()
    with _folder({CONFIG: files[CONFIG]}) as folder:
        try:
            config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
        except Exception as error:  # whatever transformers makes of a stranger's files
            raise UsageError(
                f"transformers cannot read the model's {CONFIG}: {reason(error)}"
            ) from error
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.torch_dtype = torch.float32
    config._experts_implementation = "eager"  # noqa: SLF001 - fused kernels hide multiplications
    return config


def vocabulary_of(files: Mapping[str, bytes]) -> int:
    """
    Return how many ids a model knows.

    Args:
        files: At least its ``config.json``.

    Returns:
        The size of its vocabulary.

    Raises:
        UsageError: The model takes no ids.

    """
    size = getattr(read_config(files).get_text_config(), "vocab_size", None)
    if type(size) is not int or size < 1:
        raise UsageError("the model takes no token ids: give `batches`")
    return size


def positions_of(files: Mapping[str, bytes]) -> int | None:
    """
    Return the longest window that a model takes.

    Args:
        files: At least its ``config.json``.

    Returns:
        Tokens; None if it does not say.

    Raises:
        UsageError: transformers cannot read the config.

    """
    longest = getattr(read_config(files).get_text_config(), "max_position_embeddings", None)
    return longest if type(longest) is int and longest > 0 else None


def read_tokenizer(files: Mapping[str, bytes]) -> Any:
    """
    Read a tokenizer.

    Args:
        files: Its files, and the model's ``config.json``.

    Returns:
        The tokenizer of transformers.

    Raises:
        UsageError: transformers is not installed, or there is no tokenizer in the files.

    """
    transformers = import_transformers()
    if not has_tokenizer(files):
        raise UsageError(
            "no tokenizer lies with the model, so that it cannot read text: put its tokenizer.json"
            " beside the weights, and pack it with them"
        )
    with _folder(files) as folder:
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)
        except Exception as error:  # whatever transformers makes of a stranger's files
            raise UsageError(
                f"transformers cannot read the model's tokenizer: {reason(error)}"
            ) from error


def has_tokenizer(files: Iterable[str]) -> bool:
    """
    Tell whether a tokenizer is among some files.

    Args:
        files: Their names.

    Returns:
        Whether one is; transformers would make an empty one up.

    >>> has_tokenizer(["config.json", "vocab.txt"]), has_tokenizer(["config.json"])
    (True, False)

    """
    return any(name.startswith(VOCABULARY) or name.endswith(VOCABULARY_ENDS) for name in files)


def import_transformers() -> Any:
    """
    Import transformers, and keep it quiet.

    Returns:
        The package.

    Raises:
        UsageError: It is not installed.

    """
    transformers = import_optional("transformers", what="this model needs", extra="hf")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


@contextmanager
def _folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Write files into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            path = Path(name) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, [content])
        yield Path(name)
