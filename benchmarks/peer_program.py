"""
Packs weights with a peer and reads its file again: run by another Python, which has the peer.

Needs nothing of artpack, since peers want other versions of numpy and torch::

    python peer_program.py nncodec=-26 weights.npz packed.nnc unpacked.npz
    python peer_program.py gguf=Q4_K weights.npz packed.gguf unpacked.npz importance.npz

The last file, for k-quants, has the mean square of each input of a matrix. The last line that
it prints has the seconds of processor time that packing and reading took.
"""

import ctypes
import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Weights = dict[str, Any]

MIN_ROWS = 32
"""Smaller matrices are kept as vectors are, as in artpack's recipes."""


def main() -> int:
    """Pack, unpack, and leave both."""
    wanted, weights, packed, unpacked, *known = sys.argv[1:]
    peer, _, setting = wanted.partition("=")
    write, read = PEERS[peer]
    importance = _load(known[0]) if known else {}
    loaded, times = _load(weights), [time.process_time()]
    write(loaded, setting, Path(packed), importance)
    times.append(time.process_time())
    found = read(Path(packed))
    times.append(time.process_time())
    np.savez(unpacked, **found)
    print(json.dumps([times[1] - times[0], times[2] - times[1]]))
    return 0


def write_nncodec(weights: Weights, setting: str, path: Path, _importance: Weights) -> None:
    """Write a bit stream: dependent quantization, all else by default."""
    from nncodec.nn import encode  # noqa: PLC0415

    settings = {"qp": int(setting), "use_dq": True, "verbose": False, "results": path.parent}
    path.write_bytes(encode(weights, args=settings))


def read_nncodec(path: Path) -> Weights:
    """Read it."""
    from nncodec.nn import decode  # noqa: PLC0415

    decoded: Weights = decode(bytearray(path.read_bytes()))
    return decoded


def write_gguf(weights: Weights, setting: str, path: Path, importance: Weights) -> None:
    """Write matrices of whole blocks in a type, everything else in fp16."""
    import gguf  # noqa: PLC0415

    wanted = gguf.GGMLQuantizationType[setting]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    writer = gguf.GGUFWriter(path, "gpt")
    for name, weight in weights.items():
        fits = weight.ndim > 1 and len(weight) >= MIN_ROWS and weight.shape[-1] % block == 0
        kind = wanted if fits else gguf.GGMLQuantizationType.F16
        if by_ggml(kind.name):
            content = _quantize_by_ggml(weight, kind, importance.get(name))
        else:
            content = gguf.quants.quantize(weight, kind)
        writer.add_tensor(name, content, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def by_ggml(kind: str) -> bool:
    """Return whether only ggml's C library can write a type."""
    return kind.endswith("_K") or kind.startswith("IQ")


def read_gguf(path: Path) -> Weights:
    """Read them."""
    import gguf  # noqa: PLC0415

    return {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        for tensor in gguf.GGUFReader(path).tensors
    }


def _quantize_by_ggml(weight: Any, kind: Any, importance: Any) -> Any:
    """Quantize by ggml's C library, as llama.cpp does: Python's gguf can only read these types."""
    import gguf  # noqa: PLC0415

    spec = find_spec("_pywhispercpp")
    assert spec is not None
    assert spec.origin is not None
    library = next(Path(spec.origin).parent.glob("pywhispercpp.libs/libggml-base*"))
    quantize = ctypes.CDLL(str(library)).ggml_quantize_chunk
    size, pointer = ctypes.c_int64, ctypes.c_void_p
    quantize.argtypes = [ctypes.c_int, pointer, pointer, size, size, size, pointer]
    rows, cols = weight.shape
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    content = np.empty((rows, cols // block * block_bytes), np.uint8)
    weight = np.ascontiguousarray(weight, np.float32)
    inputs = None if importance is None else np.ascontiguousarray(importance, np.float32)
    at = None if inputs is None else inputs.ctypes.data
    quantize(int(kind), weight.ctypes.data, content.ctypes.data, 0, rows, cols, at)
    return content


def _load(path: str) -> Weights:
    with np.load(path) as arrays:
        return dict(arrays)


PEERS = {"nncodec": (write_nncodec, read_nncodec), "gguf": (write_gguf, read_gguf)}

if __name__ == "__main__":
    sys.exit(main())
