"""
A 36-million-parameter model packed to a budget: time, memory, and time to decode.

Random weights of PR 1934's shape, second moments of random correlated inputs and gradients
(the same for all matrices of a shape), and what tensors cost by formula. ``artpack compress``
runs in a process of its own, as anybody would run it; ``peak_mib`` is what it had in memory
at most, programs and libraries too, and ``peak_checkpoints`` that over the checkpoint's size.
Decoding is on one thread; ``adaptive_ns`` a symbol is the adaptive coder alone. On a busy
machine, ``cpu_seconds`` says more than ``seconds``. Linux only::

    python -m benchmarks.bench_budget --csv benchmarks/results
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from artpack.artifact.reader import open_artifact
from artpack.calibration.file import Calibration, hash_config, write_calibration
from artpack.checkpoint import Checkpoint, open_checkpoint
from artpack.coding.symbol_coders import Adaptive
from artpack.models import ModelConfig, preset
from artpack.models.build import expected_shapes
from artpack.models.defects import as_meant
from benchmarks.memory import family_mib
from benchmarks.report import Row, print_table, write_csv

LEAST_ROWS = 32
"""Matrices of fewer rows are tables of vectors."""

TABLE = "tok_emb"
"""In the name of the token table, which has too many rows for all products of gradients."""

GRADIENTS = 1e-4
"""Size of gradients at outputs, where inputs have the size 1."""

SAMPLE_S = 0.2


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--budget", type=int, default=16_000_000, help="bytes")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a small model, only to see it run")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    config, budget = preset("pr1934"), arguments.budget
    if arguments.quick:
        small = replace(preset("lm6m"), num_layers=1, vocab_size=512, mlp_hidden=256)
        config, budget = small, 200_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint_bytes = make_inputs(folder, config)
        row = dict(pack(folder, budget, arguments.jobs, checkpoint_bytes))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            row |= fresh.submit(decode, folder / "weights.artpack").result()
    print_table([row])
    if arguments.csv is not None:
        write_csv(arguments.csv, "budget", [row])
    return 0


def make_inputs(folder: Path, config: ModelConfig) -> int:
    """Write random weights and a calibration for them; return the bytes of the weights."""
    chance = torch.Generator().manual_seed(0)
    weights = {
        name: 0.04 * torch.randn(shape, generator=chance)
        for name, shape in expected_shapes(config).items()
    }
    save_file(weights, folder / "weights.safetensors")
    with open_checkpoint(folder / "weights.safetensors") as checkpoint:
        write_calibration(folder / "calibration", draw_calibration(checkpoint, config))
    return sum(weight.nbytes for weight in weights.values())


def draw_calibration(checkpoint: Checkpoint, config: ModelConfig) -> Calibration:
    """Make up a calibration, with the same moments for all matrices of a shape."""
    chance = torch.Generator().manual_seed(1)
    shapes = {
        info.name: info.shape
        for info in checkpoint.tensors
        if len(info.shape) == 2 and info.shape[0] >= LEAST_ROWS
    }
    tables = [name for name in shapes if TABLE in name]
    sizes = {size for name, shape in shapes.items() for size in shape[name in tables :]}
    moments = {size: draw_moments(size, chance) for size in sorted(sizes)}
    output_covariances = {
        name: GRADIENTS**2 * moments[shape[0]]
        for name, shape in shapes.items()
        if name not in tables
    }
    head = {name: GRADIENTS**2 * torch.rand(shapes[name][0], generator=chance) for name in tables}
    return Calibration(
        hessians={name: moments[cols] for name, (_, cols) in shapes.items()},
        row_information=head
        | {name: second.diagonal() for name, second in output_covariances.items()},
        lookup_information=head,
        tokens=1,
        fingerprint={
            "weights_sha256": checkpoint.weights_sha256,
            "model_sha256": hash_config(as_meant(config).to_json()),
        },
        output_covariances=output_covariances,
    )


def draw_moments(size: int, chance: torch.Generator) -> Tensor:
    """Return second moments of random vectors whose neighbouring elements are correlated."""
    vectors = torch.randn(2 * size, size, generator=chance)
    vectors = (vectors + 0.5 * vectors.roll(1, dims=1)) * torch.linspace(0.5, 2.0, size)
    moments = vectors.T @ vectors / len(vectors)
    return moments.triu() + moments.triu(1).T


def pack(folder: Path, budget: int, jobs: int, checkpoint_bytes: int) -> Row:
    """Run ``artpack compress --budget``; return what it took."""
    command = [sys.executable, "-m", "artpack_cli", "compress", "weights.safetensors"]
    command += ["--calibration", "calibration", "--budget", str(budget)]
    command += ["--jobs", str(jobs), "--json"]
    cpu_started, started = cpu_seconds(), time.perf_counter()
    with (folder / "summary").open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output)
    peak_mib = 0.0
    while process.poll() is None:
        peak_mib = max(peak_mib, family_mib(process.pid))
        time.sleep(SAMPLE_S)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu_started
    assert process.returncode == 0
    summary = json.loads((folder / "summary").read_text())
    return {
        "weights": summary["weights"],
        "jobs": jobs,
        "budget": budget,
        "bytes": summary["bytes_out"],
        "files_made": len(summary["fit"]["trials"]),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mib": round(peak_mib),
        "peak_checkpoints": round(peak_mib * 2**20 / checkpoint_bytes, 2),
    }


def cpu_seconds() -> float:
    """Return the processor time of all processes that this one has started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def decode(path: Path) -> Row:
    """Read all tensors on one thread; return what it took, and what the adaptive coder took."""
    torch.set_num_threads(1)
    started = time.process_time()
    with open_artifact(path) as artifact:
        artifact.load()
    decode_s = time.process_time() - started
    symbols, adaptive_s = 0, 0.0
    with open_artifact(path) as artifact:
        plan = artifact.header.plan
        for s, stream in enumerate(plan.streams):
            if isinstance(stream.pipeline.coder, Adaptive):
                started = time.process_time()
                symbols += sum(matrix.size for matrix in artifact.stream(s))
                adaptive_s += time.process_time() - started
    return {
        "decode_cpu_s": round(decode_s, 2),
        "adaptive_symbols": symbols,
        "adaptive_ns": round(1e9 * adaptive_s / max(1, symbols)),
    }


if __name__ == "__main__":
    sys.exit(main())
