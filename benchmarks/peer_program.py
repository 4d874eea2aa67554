"""
Packs weights with a peer and reads its file again: run by another Python, which has the peer.

Needs nothing of artpack, since peers want other versions of numpy and torch::

    python peer_program.py nncodec=-26 weights.npz packed.nnc unpacked.npz
    python peer_program.py gguf=Q4_0 weights.npz packed.gguf unpacked.npz
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

Weights = dict[str, Any]

MIN_ROWS = 32
"""Smaller matrices are kept as vectors are, as in artpack's recipes."""


def main() -> int:
    """Pack, unpack, and leave both."""
    wanted, weights, packed, unpacked = sys.argv[1:]
    peer, _, setting = wanted.partition("=")
    write, read = PEERS[peer]
    with np.load(weights) as arrays:
        write(dict(arrays), setting, Path(packed))
    np.savez(unpacked, **read(Path(packed)))
    return 0


def write_nncodec(weights: Weights, setting: str, path: Path) -> None:
    """Write a bit stream: dependent quantization, all else by default."""
    from nncodec.nn import encode  # noqa: PLC0415

    settings = {"qp": int(setting), "use_dq": True, "verbose": False, "results": path.parent}
    path.write_bytes(encode(weights, args=settings))


def read_nncodec(path: Path) -> Weights:
    """Read it."""
    from nncodec.nn import decode  # noqa: PLC0415

    decoded: Weights = decode(bytearray(path.read_bytes()))
    return decoded


def write_gguf(weights: Weights, setting: str, path: Path) -> None:
    """Write matrices of whole blocks in a type, everything else in fp16."""
    import gguf  # noqa: PLC0415

    wanted = gguf.GGMLQuantizationType[setting]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    writer = gguf.GGUFWriter(path, "gpt")
    for name, weight in weights.items():
        fits = weight.ndim > 1 and len(weight) >= MIN_ROWS and weight.shape[-1] % block == 0
        kind = wanted if fits else gguf.GGMLQuantizationType.F16
        writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(path: Path) -> Weights:
    """Read them."""
    import gguf  # noqa: PLC0415

    return {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        for tensor in gguf.GGUFReader(path).tensors
    }


PEERS = {"nncodec": (write_nncodec, read_nncodec), "gguf": (write_gguf, read_gguf)}

if __name__ == "__main__":
    sys.exit(main())
