"""Files of safetensors."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from artpack.checkpoint.source import Loaded, Source, reason
from artpack.errors import CheckpointError


def safetensors_source(path: Path) -> Source:
    """
    Open a safetensors file.

    Args:
        path: The file.

    Returns:
        Its tensors in the order of their bytes, those without bytes last and by name.

    Source: https://github.com/huggingface/safetensors, section "Format".

    """
    return Source((path,), lambda: _load(path))


def _load(path: Path) -> Loaded:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a sound safetensors file ({reason(error)})") from error
    if not tensors:
        raise CheckpointError(f"{path}: no tensors in it")
    # Tensors without bytes share an offset, and safetensors gives those in any order.
    empty = sorted(name for name, tensor in tensors.items() if not tensor.numel())
    filled = [name for name, tensor in tensors.items() if tensor.numel()]
    return Loaded({name: tensors[name] for name in [*filled, *empty]})
