"""The benchmarks run; what they measure is for people to read."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from artpack.evaluate.windows import WindowPlan
from artpack.models import GPT, PRESETS, ModelConfig
from benchmarks.flops import plan_flops

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")
def test_the_coding_benchmark_runs_on_a_few_symbols_and_its_claims_hold(tmp_path: Path) -> None:
    command = ["-m", "benchmarks.bench_coding", "--quick", "--json", "--csv", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert all(claim["holds"] for claim in report["claims"])
    rows = {(row["source"], row["pipeline"]): row for row in report["rows"]}
    gaussian = rows["gaussian", "rows|rans|stored"]
    # The adaptive coder begins with a Gaussian, so here it needs no table at all.
    assert 0.995 < rows["gaussian", "auction"]["bytes"] / gaussian["bytes"] <= 1
    assert 0 < gaussian["gap_percent"] < 0.5
    (written,) = tmp_path.iterdir()
    assert len(written.read_text().splitlines()) == 1 + len(report["rows"])


def test_the_evaluation_benchmark_runs_on_a_few_tokens(tmp_path: Path) -> None:
    path = tmp_path / "eval.csv"
    command = ["-m", "benchmarks.bench_eval", "--quick", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, *command, "--csv", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = {(row["model"], row["precision"], row["placement"]) for row in rows}
    assert len(kinds) == len(rows) == 2 * 2 * 2
    counts = {(row["placement"], row["forward_tokens"], row["scored_tokens"]) for row in rows}
    assert counts == {("sequential", "64", "64"), ("sliding", "64", "16")}
    assert all(float(row["peak_percent"]) > 0 for row in rows)


def test_the_ngram_benchmark_counts_as_dictionaries_do(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "ngram.csv"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_ngram", "--quick", "--csv", str(path)],
        cwd=ROOT,
        env={**os.environ, "ARTPACK_SHARED": str(shared)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert row["tokens"] == "10000"
    assert float(row["memory_mb_per_mtoken"]) > 0


@pytest.mark.parametrize("name", PRESETS)
def test_the_flops_of_one_token_windows_are_those_that_torch_counts(name: str) -> None:
    config = PRESETS[name].config
    plan = WindowPlan(3, 1, np.array([[0, 1, 0], [1, 1, 0], [2, 1, 0]]), np.arange(3))
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        GPT(config).requires_grad_(requires_grad=False)(torch.zeros(3, 1, dtype=torch.int64))
    assert plan_flops(config, plan) == counter.get_total_flops()


def test_a_longer_window_adds_the_flops_of_causal_attention() -> None:
    config = PRESETS["lm6m"].config
    assert flops_of(config, 5) - 5 * flops_of(config, 1) == 8 * 4 * 256 * (1 + 2 + 3 + 4)


def test_context_that_is_not_scored_saves_the_flops_of_its_logits() -> None:
    config = PRESETS["lm6m"].config
    assert flops_of(config, 5) - flops_of(config, 5, first_scored=3) == 3 * 2 * 256 * 1024


def flops_of(config: ModelConfig, length: int, *, first_scored: int = 0) -> int:
    window = np.array([[0, length, first_scored]])
    return plan_flops(config, WindowPlan(length, length, window, np.arange(1)))
