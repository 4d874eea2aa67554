"""What goes into the matrices of a model on the calibration text."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artpack.checkpoint.gguf_header import read_gguf_header
from artpack.checkpoint.gguf_names import find_translation


def importance(
    folder: Path, source: Path, windows: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    """Return the mean square of each input of each matrix, by llama.cpp's names: its imatrix."""
    import transformers  # noqa: PLC0415 - takes long

    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    sums: dict[str, Tensor] = {}
    for name, module in model.model.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(partial(_add, sums, f"model.{name}.weight"))
    with torch.inference_mode():
        for window in windows:
            model.model(torch.from_numpy(window)[None])
    translation = find_translation(source, read_gguf_header(source))
    assert translation is not None
    names = {theirs: ours for ours, theirs in translation.mapping.items()}
    return {names[name]: (total / windows.size).numpy() for name, total in sums.items()}


def _add(sums: dict[str, Tensor], name: str, _module: nn.Module, inputs: tuple[Tensor]) -> None:
    squares = inputs[0].flatten(0, -2).square().sum(0)
    sums[name] = sums[name] + squares if name in sums else squares
