"""
How long GPTQ takes on a 36-million-parameter model, and whether CUDA gives the same codes.

The shape is that of PR 1934: 67 matrices of random weights, each with the Hessian of
random inputs of its own, rounded as the recipe ``pr1934`` does and in fp64. On a
busy machine, ``cpu_seconds`` says more than ``seconds``; there is one thread::

    python -m benchmarks.bench_gptq --csv benchmarks/results
    python -m benchmarks.bench_gptq --device cuda --csv benchmarks/results
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.rounding.clips import StdClip
from artpack.quantize.rounding.gptq import Gptq
from artpack.quantize.rounding.row_rounding import RowRounding
from artpack.stages.symbols import Symbols
from benchmarks.report import Row, print_table, write_csv

LAYERS = 11
MATRICES = {
    "attn.c_q": (512, 512),
    "attn.proj": (512, 512),
    "attn.c_k": (256, 512),
    "attn.c_v": (256, 512),
    "mlp.fc": (2048, 512),
    "mlp.proj": (512, 2048),
}
EMBEDDING = (8192, 512)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device: nothing is measured")
        return 0
    rows = [
        measure(precision, arguments.device, arguments.layers) for precision in ("fp32", "fp64")
    ]
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, f"gptq-{arguments.device}", rows)
    return 0


def measure(precision: str, device: str, layers: int) -> Row:
    """Round all matrices; on a GPU, compare the codes with the CPU's."""
    row_rounding = Gptq(precision=precision)
    matrices = weights = differ = 0
    seconds = cpu_seconds = 0.0
    for name, (rows, cols) in shapes(layers):
        weight, hessian = draw(name, rows, cols)
        rounding = RowRounding(RowInt(7 if rows > 4096 else 6, StdClip(12.0)), None, row_rounding)
        rounded = hessian.to(device)
        started, cpu_started = time.perf_counter(), time.process_time()
        codes = _codes(rounding, weight, rounded)
        seconds += time.perf_counter() - started
        cpu_seconds += time.process_time() - cpu_started
        if device != "cpu":
            differ += int((codes != _codes(rounding, weight, hessian)).sum())
        matrices, weights = matrices + 1, weights + weight.numel()
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "precision": precision,
        "matrices": matrices,
        "weights": weights,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "codes_unlike_cpu": "" if device == "cpu" else differ,
    }


def shapes(layers: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the matrices of the model."""
    yield "tok_emb", EMBEDDING
    for layer in range(layers):
        for role, shape in MATRICES.items():
            yield f"blocks.{layer}.{role}", shape


def draw(name: str, rows: int, cols: int) -> tuple[Tensor, Tensor]:
    """Return random weights, and the second moments of random correlated inputs."""
    generator = torch.Generator().manual_seed(sum(name.encode()))
    weight = 0.04 * torch.randn(rows, cols, generator=generator)
    inputs = torch.randn(2 * cols, cols, generator=generator)
    inputs = (inputs + 0.5 * inputs.roll(1, dims=1)) * torch.linspace(0.5, 2.0, cols)
    return weight, inputs.T @ inputs / len(inputs)


def _codes(rounding: RowRounding, weight: Tensor, hessian: Tensor) -> Symbols:
    return rounding.quantize(weight, hessian)[0].parts["codes"]


if __name__ == "__main__":
    sys.exit(main())
