"""Files as llama.cpp ships them: mixes of types, made by ggml's own library with an imatrix."""

import ctypes
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from benchmarks.llm.mixes import Mix

WHEEL = "pywhispercpp==1.5.1"
"""Ships ggml as a library; nothing else of it is used."""

LIBRARIES = "pywhispercpp.libs/"
LIBRARY = f"{LIBRARIES}libggml-base"


def load_library(cache: Path) -> Any:
    """Download ggml, once, and load its function that quantizes."""
    if not list(cache.glob(f"{LIBRARY}*")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", cache, WHEEL], check=True)
        with zipfile.ZipFile(next(cache.glob("pywhispercpp-*.whl"))) as wheel:
            for name in wheel.namelist():
                if name.startswith(LIBRARIES):
                    wheel.extract(name, cache)
    quantize = ctypes.CDLL(str(next(cache.glob(f"{LIBRARY}*")))).ggml_quantize_chunk
    size, pointer = ctypes.c_int64, ctypes.c_void_p
    quantize.argtypes = [ctypes.c_int, pointer, pointer, size, size, size, pointer]
    quantize.restype = ctypes.c_size_t
    return quantize


def write(
    path: Path, source: Path, mix: Mix, importance: Mapping[str, NDArray[np.float32]], library: Any
) -> None:
    """
    Quantize a model as ``llama-quantize --imatrix`` does.

    Args:
        path: The file to write; metadata and tokenizer are those of the source.
        source: A GGUF file.
        mix: What becomes of each matrix.
        importance: Mean square of the inputs of each matrix, by llama.cpp's names.
        library: What :func:`load_library` returned.

    """
    reader: Any = gguf.GGUFReader(source)
    architecture = str(reader.get_field("general.architecture").contents())
    layers = int(reader.get_field(f"{architecture}.block_count").contents())
    writer = gguf.GGUFWriter(path, architecture)
    for field in _copied(reader):
        kind, *of = field.types
        writer.add_key_value(field.name, field.contents(), kind, of[-1] if of else None)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        if values.ndim == 1:
            writer.add_tensor(tensor.name, values.astype(np.float32))
            continue
        kind = gguf.GGMLQuantizationType[mix.type_of(tensor.name, values.shape[1], layers)]
        content = _quantized(library, values, kind, importance.get(tensor.name))
        writer.add_tensor(tensor.name, content, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copied(reader: Any) -> Iterator[Any]:
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            yield field


def _quantized(library: Any, weight: Any, kind: Any, importance: Any) -> NDArray[np.uint8]:
    rows, cols = weight.shape
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    content = np.empty((rows, cols // block * block_bytes), np.uint8)
    weight = np.ascontiguousarray(weight, np.float32)
    at = None if importance is None else importance.ctypes.data
    size = library(int(kind), weight.ctypes.data, content.ctypes.data, 0, rows, cols, at)
    assert size == content.nbytes, (kind, size, content.nbytes)
    return content
