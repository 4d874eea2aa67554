"""
Speed of packing and loading a language model's shapes, in processor time for each weight.

The weights are Gaussians whose rows and columns have scales of their own, in the shapes of
SmolLM2: matrices of 576 and 1536 and a table of tokens. To compare two versions, run this in a
git worktree of each on one machine. ``--layers 30 --vocabulary 49152`` is the whole model::

    python -m benchmarks.bench_speed --csv benchmarks/results
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor

import artpack
from benchmarks.report import Row, print_table, write_csv

T = TypeVar("T")

WIDTH, KEYS, HIDDEN = 576, 192, 1536

RECIPES = ("frontier", "int4", "lossless")

MATRICES = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (KEYS, WIDTH),
    "self_attn.v_proj": (KEYS, WIDTH),
    "self_attn.o_proj": (WIDTH, WIDTH),
    "mlp.gate_proj": (HIDDEN, WIDTH),
    "mlp.up_proj": (HIDDEN, WIDTH),
    "mlp.down_proj": (WIDTH, HIDDEN),
}

BITS = 3.69
"""Bits for each weight that a budget has: 62,000,000 bytes for the whole model."""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=6000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = list(measure(Path(name), arguments.layers, arguments.vocabulary, arguments.jobs))
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "speed", rows)
    return 0


def measure(folder: Path, layers: int, vocabulary: int, jobs: int) -> Iterator[Row]:
    """Pack the weights in several ways, and load them."""
    warm_up()
    weights = draw(layers, vocabulary)
    count = sum(weight.numel() for weight in weights.values())
    source = folder / "weights.safetensors"
    save_file(weights, source)
    target = folder / "weights.artpack"
    for recipe in RECIPES:
        budget = round(count * BITS / 8) if recipe == "frontier" else None
        pack = partial(artpack.compress, source, recipe=recipe, budget=budget, jobs=jobs)
        packed, row = timed(pack, count)
        size = packed.save(target)
        yield {"job": f"compress {recipe}", **row, "bytes": size}
        _, row = timed(partial(artpack.load, target), count)
        yield {"job": "load", **row, "bytes": size}


def warm_up() -> None:
    """Let everything be compiled before the clock starts."""
    weights = draw(1, 300)
    for recipe in RECIPES:
        artpack.compress(weights, recipe=recipe)


def draw(layers: int, vocabulary: int) -> dict[str, Tensor]:
    """Make up weights in bf16."""
    chance = torch.Generator().manual_seed(0)
    shapes = {"model.embed_tokens.weight": (vocabulary, WIDTH)}
    for layer in range(layers):
        shapes |= {f"model.layers.{layer}.{name}.weight": MATRICES[name] for name in MATRICES}
    return {name: draw_matrix(*shape, chance) for name, shape in shapes.items()}


def draw_matrix(rows: int, cols: int, chance: torch.Generator) -> Tensor:
    """Draw Gaussians with scales of rows and columns."""
    row_scales = (0.2 * torch.randn(rows, 1, generator=chance)).exp()
    col_scales = (0.3 * torch.randn(cols, generator=chance)).exp()
    weights = 0.05 * row_scales * col_scales * torch.randn(rows, cols, generator=chance)
    return weights.to(torch.bfloat16)


def timed(work: Callable[[], T], weights: int) -> tuple[T, Row]:
    """Return what some work gave and what it took; the memory is the most so far."""
    started, cpu_started = time.perf_counter(), time.process_time()
    result = work()
    cpu = time.process_time() - cpu_started
    return result, {
        "weights": weights,
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(cpu, 2),
        "cpu_ns_per_weight": round(1e9 * cpu / weights),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


if __name__ == "__main__":
    sys.exit(main())
