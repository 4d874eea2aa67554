"""
How fast models are scored, and what share of the machine's matmul peak that is.

Random weights in the shape of published models, random tokens, in steady state: the
first window of a stream, which scores all its positions, is left out. The rates are
those of ``artpack.evaluation.scoring.score``, from arrays to a score with its standard error. The
peak is the best rate of square matmuls in the same run: same device, dtype and threads.
Everything is timed in turns, so that all of it has the same neighbours, and the best
of several times counts; ``load_1min`` is the load average then, the benchmark included.

Nothing is timed whose mean loss is not, to the epsilon of its dtype, that of a plain
computation in float32: window by window, every position through the vocabulary. From
the repository's root::

    python -m benchmarks.bench_eval --csv benchmarks/results
    python -m benchmarks.bench_eval --csv benchmarks/results --device cuda
"""

import argparse
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from artpack.evaluation.scoring.score import score
from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import WindowPlan
from artpack.models import GPT, ModelConfig, build, preset
from artpack.runners.settings import Settings
from benchmarks.flops import plan_flops
from benchmarks.peak import matmul_peak, seconds_of
from benchmarks.report import Row, print_table, write_csv

Precision = Literal["fp32", "bf16"]

DTYPES: Mapping[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Case:
    """
    A model and the windows that it is scored in.

    Attributes:
        model: Name of a preset.
        window_tokens: Tokens per window.
        stride_tokens: Scored positions per window in the sliding placement.
        windows: How many windows are run.
    """

    model: str
    window_tokens: int
    stride_tokens: int
    windows: int

    def strides(self) -> dict[str, int]:
        """Return the stride of each placement."""
        return {"sequential": self.window_tokens, "sliding": self.stride_tokens}


@dataclass(frozen=True)
class Effort:
    """
    How much is measured on a kind of device.

    Attributes:
        cases: What is scored.
        batch_tokens: Batches to try; small ones leave a GPU waiting for launches.
        matmul_sizes: Rows and columns of the matrices whose best rate is the peak.
        rounds: How often everything is timed.
    """

    cases: tuple[Case, ...]
    batch_tokens: tuple[int, ...]
    matmul_sizes: tuple[int, ...]
    rounds: int


CPU = Effort(
    (Case("lm6m", 512, 64, windows=32), Case("pr1934", 2048, 64, windows=2)),
    batch_tokens=(Settings.batch_tokens,),
    matmul_sizes=(1024, 2048, 4096),
    rounds=5,
)
CUDA = Effort(
    (Case("lm6m", 512, 64, windows=2048), Case("pr1934", 2048, 64, windows=512)),
    batch_tokens=(Settings.batch_tokens, 4 * Settings.batch_tokens),
    matmul_sizes=(4096, 8192),
    rounds=5,
)
QUICK = Effort(
    (Case("lm6m", 32, 8, windows=2), Case("pr1934", 32, 8, windows=2)),
    batch_tokens=(Settings.batch_tokens,),
    matmul_sizes=(256,),
    rounds=1,
)


@dataclass(frozen=True)
class Trial:
    """One way to score a case."""

    placement: str
    plan: WindowPlan
    settings: Settings

    def score_bits(self, model: GPT, ids: Tokens) -> float:
        """Return the mean loss in bits: every token stands for one byte."""
        one_each = np.ones(ids.size, np.int64)
        return score(model, ids, self.plan, one_each, settings=self.settings).bits_per_byte.value


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few tokens, only to see it run")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device: str = arguments.device
    effort = QUICK if arguments.quick else {"cpu": CPU, "cuda": CUDA}[device]
    rows = [row for case in effort.cases for row in measure(case, effort, device)]
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "eval" if device == "cpu" else f"eval-{device}", rows)


def measure(case: Case, effort: Effort, device: str) -> Iterator[Row]:
    """Measure a model in every precision, placement and size of batch."""
    config = preset(case.model)
    model, ids = random_model(config).to(device), random_tokens(config, case)
    plans = {name: steady_plan(name, ids, case, stride) for name, stride in case.strides().items()}
    plain = {name: plain_bits(model, ids, case, stride) for name, stride in case.strides().items()}
    for precision, dtype in DTYPES.items():
        trials = [
            Trial(name, plan, Settings(device, precision, batch_tokens))
            for (name, plan), batch_tokens in product(plans.items(), effort.batch_tokens)
        ]
        for trial in trials:
            check(trial, trial.score_bits(model, ids), plain[trial.placement])
        works = [partial(trial.score_bits, model, ids) for trial in trials]
        peak = partial(matmul_peak, effort.matmul_sizes, device, dtype)
        seconds, peak_flop_s = in_turns(works, peak, effort.rounds)
        for trial, best_s in zip(trials, seconds, strict=True):
            yield row(case, trial, best_s, plan_flops(config, trial.plan) / best_s, peak_flop_s)


def random_model(config: ModelConfig) -> GPT:
    """Return a model with normal weights wherever a new one has zeros, so that all is used."""
    generator = torch.Generator().manual_seed(0)
    weights = GPT(config).state_dict()
    for name, weight in weights.items():
        if not weight.any():
            normal = torch.randn(weight.shape, generator=generator)
            weights[name] = normal / math.sqrt(weight.shape[-1])
    return build(config, weights)


def random_tokens(config: ModelConfig, case: Case) -> Tokens:
    """Return a stream for as many windows as either placement takes, and the first one."""
    count = (case.windows + 1) * case.window_tokens + 1
    return np.random.default_rng(0).integers(config.vocab_size, size=count, dtype=np.uint16)


def steady_plan(placement: str, ids: Tokens, case: Case, stride_tokens: int) -> WindowPlan:
    """Return the windows after the first."""
    plan = place(placement, ids, case.window_tokens, stride_tokens)
    kept = slice(1, case.windows + 1)
    return replace(plan, windows=plan.windows[kept], rows=plan.rows[kept] - 1)


@torch.inference_mode()
def plain_bits(model: GPT, ids: Tokens, case: Case, stride_tokens: int) -> float:
    """Return the mean loss of what the plan scores, computed the plain way, in bits."""
    device, total = model.tok_emb.weight.device, 0.0
    for window in range(1, case.windows + 1):
        start = window * stride_tokens
        tokens = torch.from_numpy(ids[start : start + case.window_tokens + 1].astype(np.int64))
        inputs, targets = tokens[None, :-1].to(device), tokens[1:, None].to(device)
        chances = model(inputs)[0].double().log_softmax(-1).gather(1, targets)
        total -= float(chances[-stride_tokens:].sum())
    return total / (case.windows * stride_tokens) / math.log(2)


def check(trial: Trial, bits: float, plain: float) -> None:
    """Stop where the evaluator's mean loss is not the plain one."""
    epsilon = torch.finfo(DTYPES[trial.settings.precision]).eps
    assert math.isclose(bits, plain, rel_tol=epsilon), f"{bits} bits, not {plain}: {trial}"


def in_turns(
    works: Sequence[Callable[[], float]], peak: Callable[[], float], rounds: int
) -> tuple[list[float], float]:
    """Return the best seconds of each work, and the best peak."""
    peaks, times = [], []
    for _ in range(rounds):
        peaks.append(peak())
        times.append([seconds_of(work) for work in works])
    return [min(column) for column in zip(*times, strict=True)], max(peaks)


def row(case: Case, trial: Trial, seconds: float, flop_s: float, peak_flop_s: float) -> Row:
    """Return the measures as they are printed."""
    settings, coverage = trial.settings, trial.plan.coverage()
    return {
        "model": case.model,
        "device": device_name(settings.device),
        "precision": settings.precision,
        "placement": trial.placement,
        "window_tokens": case.window_tokens,
        "stride_tokens": case.strides()[trial.placement],
        "batch_tokens": min(settings.batch_tokens, coverage.forward_tokens),
        "forward_tokens": coverage.forward_tokens,
        "scored_tokens": coverage.scored,
        "seconds": round(seconds, 4),
        "scored_tokens_s": round(coverage.scored / seconds),
        "forward_tokens_s": round(coverage.forward_tokens / seconds),
        "gflop_s": round(flop_s / 1e9, 1),
        "peak_gflop_s": round(peak_flop_s / 1e9, 1),
        "peak_percent": round(100 * flop_s / peak_flop_s, 1),
        "threads": torch.get_num_threads(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def device_name(device: str) -> str:
    """Return the name of a GPU; the processor's is in the file already."""
    return device if device == "cpu" else torch.cuda.get_device_name(device)


if __name__ == "__main__":
    main()
