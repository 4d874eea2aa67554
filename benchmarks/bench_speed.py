"""
Speed of every job, today's code against that of an earlier commit, and lossless peers.

Each job runs in a fresh process, old and new code in turn; the least of ``--times`` runs counts,
by processor time. Weights are made up in the shapes of SmolLM2 (matrices of 576 and 1536 and a
table of tokens) unless there is a file; what needs a model and tokens takes the demo's unless
it is told otherwise. All rows of the issue, on the shared checkpoint and on SmolLM2-135M::

    python -m benchmarks.bench_speed --before bf99262 --weights SmolLM2/model.safetensors \
        --checkpoint lm6m/ckpt.pt --tokens lm6m/calib.bin --calibration-tokens 131072 \
        --budget 2000000 --csv benchmarks/results --python peers/bin/python

Peers are those that a Python has, made by ``python -m venv --system-site-packages peers`` and
``peers/bin/pip install zipnn nncodec==2.1.3 pywhispercpp==1.5.1``.
"""

import argparse
import json
import lzma
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brotli
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from artpack.checkpoint import open_checkpoint
from artpack.demo import CALIBRATION, CHECKPOINT, write_demo
from benchmarks import peer_program
from benchmarks.peers import has_peer
from benchmarks.report import Row, print_table, write_csv
from benchmarks.speed_program import JOBS, spent

PROGRAM = Path(__file__).with_name("speed_program.py")
ROOT = Path(__file__).parents[1]

WIDTH, KEYS, HIDDEN = 576, 192, 1536

MATRICES = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (KEYS, WIDTH),
    "self_attn.v_proj": (KEYS, WIDTH),
    "self_attn.o_proj": (WIDTH, WIDTH),
    "mlp.gate_proj": (HIDDEN, WIDTH),
    "mlp.up_proj": (HIDDEN, WIDTH),
    "mlp.down_proj": (WIDTH, HIDDEN),
}

QUANTIZERS = ("gguf=Q4_0", "gguf=IQ4_NL", "nncodec=-18")
"""What quantizes beside int4: by numpy, by ggml's C library, by dependent quantization."""

DEMO_BITS = 2.2
"""Bits for each weight of the budget, unless it is given."""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--before", metavar="COMMIT", help="the code to compare with")
    parser.add_argument("--rows", default="", metavar="NAME,...", help="by default all")
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--weights", type=Path, metavar="FILE", help="packed without data")
    parser.add_argument("--layers", type=int, default=2, help="of made-up weights")
    parser.add_argument("--vocabulary", type=int, default=6000, help="of made-up weights")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="calibrated and packed")
    parser.add_argument("--tokens", type=Path, metavar="FILE", help="what it is calibrated on")
    parser.add_argument("--calibration-tokens", type=int, default=8192)
    parser.add_argument("--budget", type=int, metavar="BYTES")
    parser.add_argument("--symbols", type=int, default=4_000_000, help="that coders code")
    parser.add_argument("--python", type=Path, metavar="FILE", help="one that has peers")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = list(measure(Path(name), arguments))
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "speed", rows)
    return 0


def measure(folder: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    """Run the rows that are asked for, and peers on the same weights."""
    names = arguments.rows.split(",") if arguments.rows else list(JOBS)
    trees = {"new": ROOT}
    if arguments.before is not None:
        trees = {"old": folder / "before", **trees}
        git("worktree", "add", "--detach", str(trees["old"]), arguments.before)
    try:
        data = prepare(folder, arguments)
        for name in names:
            rows = compared(name, trees, data, arguments.times)
            yield from rows
            if name == "compress lossless":
                reference = float(rows[-1]["cpu_seconds"])
                weights = Path(data["weights_file"])
                yield from peers(weights, folder, arguments.python, reference)
            if name == "compress int4" and arguments.python is not None:
                reference = float(rows[-1]["cpu_seconds"])
                yield from quantizers(data, arguments.python, reference)
    finally:
        if arguments.before is not None:
            git("worktree", "remove", "--force", str(trees["old"]))


def git(*words: str) -> None:
    """Run git in this work tree."""
    subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True)


def prepare(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Write what jobs work on, and say where it is."""
    write_demo(folder / "demo")
    checkpoint = arguments.checkpoint or folder / "demo" / CHECKPOINT
    tokens = arguments.tokens or folder / "demo" / CALIBRATION
    source = arguments.weights
    if source is None:
        source = folder / "weights.safetensors"
        save_file(draw(arguments.layers, arguments.vocabulary), source)
    with open_checkpoint(checkpoint) as opened:
        weights = sum(info.weights for info in opened.tensors)
    return {
        "folder": str(folder),
        "checkpoint": str(checkpoint),
        "tokens": str(tokens),
        "calibration_tokens": arguments.calibration_tokens,
        "weights": weights,
        "budget": arguments.budget or round(weights * DEMO_BITS / 8),
        "weights_file": str(source),
        "file_weights": count(source),
        "jobs": arguments.jobs,
        "symbols": arguments.symbols,
    }


def count(path: Path) -> int:
    """Return the number of weights in a file of safetensors."""
    with safe_open(path, "pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def compared(name: str, trees: dict[str, Path], data: dict[str, Any], times: int) -> list[Row]:
    """Run one job with each code in turn; return a row for each, the new one last."""
    runs: dict[str, list[dict[str, Any]]] = {which: [] for which in trees}
    for _ in range(times):
        for which, root in trees.items():
            runs[which].append(run(name, {**data, "root": str(root)}))
    best = {which: min(took, key=lambda one: one["cpu_seconds"]) for which, took in runs.items()}
    reference = best["new"]["cpu_seconds"]
    return [row(name, which, took, reference) for which, took in best.items()]


def run(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Run a job in a process of its own."""
    line = [sys.executable, "-P", str(PROGRAM), name, json.dumps(data)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr}")
    took: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return took


def row(name: str, which: str, took: dict[str, Any], reference: float) -> Row:
    """Return a row of the table."""
    return {
        "job": name,
        "code": which,
        "units": took["units"],
        "seconds": round(took["seconds"], 3),
        "cpu_seconds": round(took["cpu_seconds"], 3),
        "cpu_ns_per_unit": round(1e9 * took["cpu_seconds"] / max(1, took["units"]), 1),
        "times_new": round(took["cpu_seconds"] / max(1e-9, reference), 2),
        "bytes": took["bytes"],
        "peak_mib": took["peak_mib"],
    }


ZIPNN = """
import sys, time, zipnn
data = open(sys.argv[1], "rb").read()
coder = zipnn.ZipNN(bytearray_dtype=sys.argv[2], threads=1)
coder.compress(data)
started = time.process_time()
print(len(coder.compress(data)), time.process_time() - started)
"""


def peers(weights: Path, folder: Path, python: Path | None, reference: float) -> Iterator[Row]:
    """Give the bytes of all tensors, back to back, to general compressors, and to ZipNN."""
    tensors = load_file(weights)
    parts = [tensor.contiguous().view(torch.uint8).numpy().tobytes() for tensor in tensors.values()]
    content = b"".join(parts)
    path = folder / "content.bin"
    path.write_bytes(content)
    kinds: dict[str, Callable[[], int]] = {
        "brotli -q 11": lambda: len(brotli.compress(content, quality=11, lgwin=24)),
        "xz -6": lambda: len(lzma.compress(content)),
        "zstd -19": lambda: by_program(["zstd", "-19", "--single-thread", "-c", str(path)]),
        "lrzip": lambda: by_program(["lrzip", "-z", "-T", "-q", "-p", "1", "-o", "-", str(path)]),
    }
    for name, work in kinds.items():
        if name.split()[0] in {"zstd", "lrzip"} and shutil.which(name.split()[0]) is None:
            continue
        started, cpu_started = time.perf_counter(), spent()
        size = work()
        took = {"seconds": time.perf_counter() - started, "cpu_seconds": spent() - cpu_started}
        told = {**took, "bytes": size, "units": count(weights), "peak_mib": 0}
        yield row("compress lossless", name, told, reference)
    if python is not None:
        dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
        done = subprocess.run(
            [str(python), "-W", "ignore", "-c", ZIPNN, str(path), dtype],
            capture_output=True,
            text=True,
            check=True,
        )
        size, cpu = int(done.stdout.split()[-2]), float(done.stdout.split()[-1])
        told = {"seconds": cpu, "cpu_seconds": cpu, "bytes": size, "peak_mib": 0}
        yield row("compress lossless", "zipnn", {**told, "units": count(weights)}, reference)


def quantizers(data: dict[str, Any], python: Path, reference: float) -> Iterator[Row]:
    """Let others quantize the same weights, without data, and read their files again."""
    folder = Path(data["folder"])
    given, packed, unpacked = (folder / name for name in ("given.npz", "packed", "unpacked.npz"))
    weights: dict[str, Any] = load_file(data["weights_file"])
    np.savez(given, **{name: weight.float().numpy() for name, weight in weights.items()})
    for wanted in QUANTIZERS:
        peer, _, setting = wanted.partition("=")
        if not has_peer("_pywhispercpp" if peer_program.by_ggml(setting) else peer, python):
            continue
        program = [str(python), "-W", "ignore", peer_program.__file__, wanted]
        line = [*program, *map(str, (given, packed, unpacked))]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        told = {"units": data["file_weights"], "bytes": packed.stat().st_size, "peak_mib": 0}
        for job, cpu in zip(("", ", read"), json.loads(done.stdout.splitlines()[-1]), strict=True):
            took = {**told, "seconds": cpu, "cpu_seconds": cpu}
            yield row("compress int4", f"{wanted}{job}", took, reference)


def by_program(line: list[str]) -> int:
    """Return how many bytes a program writes."""
    return len(subprocess.run(line, capture_output=True, check=True).stdout)


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


if __name__ == "__main__":
    sys.exit(main())
