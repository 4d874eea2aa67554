"""
How time grows with the number of weights: calibrating, packing to a budget, loading.

Models of random weights, 1 to 135 million of them, calibrated on random tokens; the one of 36
million has the shape of PR 1934. Each job runs in a fresh process, and everything it needs has been
compiled. Budgets are 2.7 bits for each weight. Linux only::

    python -m benchmarks.bench_scaling --csv benchmarks/results
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from artpack.models import ModelConfig, preset
from artpack.models.build import expected_shapes
from benchmarks.bench_speed import ROOT, run
from benchmarks.machine import results_path
from benchmarks.report import Row, print_table, write_csv

BITS = 2.7
"""Of the budget, for each weight."""

JOBS = ("calibrate", "budget, calibrated", "compress int4", "load int4")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--calibration-tokens", type=int, default=32_768)
    parser.add_argument("--models", type=int, default=4, help="the smallest so many")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    asked = parser.parse_args()
    rows: list[Row] = []
    for config in models()[: asked.models]:
        with tempfile.TemporaryDirectory() as folder:
            for row in measure(Path(folder), config, asked.calibration_tokens, asked.jobs):
                print(*row.values(), flush=True)
                rows.append(row)
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "scaling", rows)
        draw(results_path(asked.csv, "scaling").with_suffix(".svg"), rows)
    return 0


def models() -> list[ModelConfig]:
    """Return models of about 1, 6, 36 and 135 million weights."""
    small = preset("lm6m")
    return [
        replace(small, model_dim=128, num_layers=4, num_heads=2, num_kv_heads=1, mlp_hidden=512),
        small,
        preset("pr1934"),
        replace(
            small,
            vocab_size=8192,
            model_dim=640,
            num_layers=29,
            num_heads=10,
            num_kv_heads=5,
            mlp_hidden=2560,
        ),
    ]


def measure(folder: Path, config: ModelConfig, tokens: int, jobs: int) -> Iterator[Row]:
    """Make a model, and run all jobs on it."""
    weights = make_inputs(folder, config, tokens)
    data: dict[str, Any] = {
        "root": str(ROOT),
        "folder": str(folder),
        "checkpoint": str(folder),
        "tokens": str(folder / "tokens.npy"),
        "calibration_tokens": tokens,
        "weights": weights,
        "budget": round(weights * BITS / 8),
        "weights_file": str(folder / "model.safetensors"),
        "file_weights": weights,
        "jobs": jobs,
    }
    for name in JOBS:
        took = run(name, data)
        yield {
            "job": name,
            "weights": weights,
            "seconds": round(took["seconds"], 2),
            "cpu_seconds": round(took["cpu_seconds"], 2),
            "cpu_ns_per_weight": round(1e9 * took["cpu_seconds"] / weights, 1),
            "bytes": took["bytes"],
            "peak_mib": took["peak_mib"],
        }


def make_inputs(folder: Path, config: ModelConfig, tokens: int) -> int:
    """Write random weights of a model, its configuration and tokens; return how many weights."""
    chance = torch.Generator().manual_seed(0)
    shapes = expected_shapes(config)
    weights = {
        name: torch.randn(shape, generator=chance) / math.sqrt(shape[-1])
        if len(shape) > 1
        else torch.ones(shape)
        for name, shape in shapes.items()
    }
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_json()), encoding="utf-8")
    drawn = np.random.default_rng(0).integers(0, config.vocab_size, tokens + 1, np.uint16)
    np.save(folder / "tokens.npy", drawn)
    return sum(weight.numel() for weight in weights.values())


def draw(path: Path, rows: list[Row]) -> None:
    """Draw seconds of the processor over weights, one line a job."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - takes long

    figure, axes = plt.subplots(figsize=(6, 4))
    for name in JOBS:
        own = [row for row in rows if row["job"] == name]
        axes.loglog(
            [float(row["weights"]) for row in own],
            [float(row["cpu_seconds"]) for row in own],
            marker="o",
            label=name,
        )
    axes.set(xlabel="weights", ylabel="seconds of the processor")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, bbox_inches="tight")


if __name__ == "__main__":
    sys.exit(main())
