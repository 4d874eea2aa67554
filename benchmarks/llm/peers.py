"""Files that others make of the model, and the weights that come out of them again."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from artpack.checkpoint import open_checkpoint
from artpack.coding.codecs import Zstd
from benchmarks import peers
from benchmarks.llm import ggml, glq_program, gptq, inputs, model
from benchmarks.llm.mixes import MIXES, Mix
from benchmarks.llm.texts import Text

NNCODEC_QPS = (-14, -16, -18, -20, -22)
GLQ_BITS = (2, 3, 4)
GPTQ_BITS = (3, 4)

ZSTD = Zstd(level=12)
"""The default would take too long for files of 100 MB."""


@dataclass(frozen=True, eq=False)
class Made:
    """
    A file, or a folder, and what it unpacks to.

    Attributes:
        sizes: Suffix of the method's name to bytes: as it is, and after a general compressor.
        weights: By the names of the model.
    """

    sizes: Mapping[str, int]
    weights: Mapping[str, Tensor]


@dataclass(frozen=True)
class Point:
    """A file that can be made."""

    method: str
    setting: str
    make: Callable[[], Made]


@dataclass(frozen=True, eq=False)
class Inputs:
    """
    What everybody gets.

    Attributes:
        cache: A folder for everything.
        calibration: Tokens to calibrate on.
        python: A Python that has the peers.
        threads: How many.
    """

    cache: Path
    calibration: Text
    python: Path
    threads: int

    @cached_property
    def folder(self) -> Path:
        """The model, as a folder of Hugging Face."""
        return model.folder(self.cache)

    @cached_property
    def source(self) -> Path:
        """The model, as a GGUF file."""
        return model.fetch(self.cache)

    @cached_property
    def importance(self) -> dict[str, NDArray[np.float32]]:
        """The imatrix."""
        return inputs.importance(self.folder, self.source, self.calibration.windows)


def points(given: Inputs) -> Iterator[Point]:
    """List what peers can make."""
    for mix in MIXES:
        yield Point("llama.cpp", mix.name, partial(_llama_cpp, given, mix))
    for bits in GPTQ_BITS:
        yield Point("gptq", f"{bits} bits", partial(_gptq, given, bits))
    for qp in NNCODEC_QPS:
        yield Point("nncodec", f"qp {qp}", partial(_nncodec, given, qp))
    for bits in GLQ_BITS:
        yield Point("glq", f"{bits} bits", partial(_glq, given, bits))


def _llama_cpp(given: Inputs, mix: Mix) -> Made:
    path = given.cache / "llama.cpp.gguf"
    ggml.write(path, given.source, mix, given.importance, ggml.load_library(given.cache))
    with open_checkpoint(path) as checkpoint:
        assert not checkpoint.ties
        weights = {name: checkpoint.read(name) for name in checkpoint.names}
    return Made(_sizes(path.read_bytes()), weights)


def _gptq(given: Inputs, bits: int) -> Made:
    stored = gptq.quantize(given.folder, given.calibration.windows, bits)
    content = safetensors.torch.save({name: t.contiguous() for name, t in stored.items()})
    return Made(_sizes(content), gptq.unpack(safetensors.torch.load(content), bits))


def _nncodec(given: Inputs, qp: int) -> Made:
    weights = dict(model.read(given.folder))
    packed, unpacked = peers.by_program("nncodec", str(qp), weights, given.python)
    return Made({"": len(packed)}, unpacked)


def _glq(given: Inputs, bits: int) -> Made:
    target = given.cache / f"glq-{bits}-{given.calibration.digest}"
    text = given.cache / "glq-calibration.txt"
    text.write_text(given.calibration.text, encoding="utf-8")
    program = [str(given.python), "-W", "ignore", glq_program.__file__]
    paths = [str(given.folder), str(target), str(bits), str(text)]
    subprocess.run([*program, *paths, str(given.threads)], check=True, stdout=sys.stderr)
    size = sum(file.stat().st_size for file in target.glob("*.safetensors"))
    return Made({"": size}, load_file(target / "unpacked" / "all.safetensors"))


def _sizes(content: bytes) -> dict[str, int]:
    return {"": len(content), ", zstd": len(ZSTD.encode(content))}
