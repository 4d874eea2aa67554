"""
What each part of packing costs a core, for a weight; ``artpack compress --plan`` multiplies it.

::

    python -m benchmarks.bench_costs            # the constants of artpack.api.plan.MEASURED
    python -m benchmarks.bench_costs --plans    # and by those constants, plans for 7B and 70B

Time is that of the processor, of one thread.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from artpack.api.plan import MEASURED, Costs, plan_work
from artpack.calibration.file import Calibration
from artpack.calibration.moments import Moments
from artpack.checkpoint import TensorInfo, from_state_dict
from artpack.checkpoint.selection import select
from artpack.coding.groups import StreamGroup
from artpack.coding.profiles import DEFAULT
from artpack.coding.search import choose
from artpack.pack.rate_distortion import RateDistortion
from artpack.recipes import load_recipe
from benchmarks.report import print_table

LOG2_STEP = -6.0


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small matrices: not to be published")
    parser.add_argument("--plans", action="store_true", help="print plans for known shapes, too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(measure(192 if asked.quick else 2048))
    if asked.plans:
        print_table(plans(MEASURED))


def measure(side: int) -> Costs:
    """Measure with matrices of so many rows and columns, and of a quarter of them."""
    run, product = running(side)
    small, large = (quantizing(size) for size in (side // 4, side))
    per_weight = [seconds / size**2 for seconds, size in ((small[1], side // 4), (large[1], side))]
    feedback = (per_weight[1] - per_weight[0]) / (2 * (side - side // 4))
    search = per_weight[0] - 2 * (side // 4) * feedback
    metric = large[0] / (2 * side**3)
    values = (run, product, metric, search, feedback, coding(side))
    return Costs(*(float(f"{1e9 * value:.3g}") for value in values))


def seconds_of(work: Callable[[], object]) -> float:
    """Return what it takes the second time."""
    work()
    started = time.process_time()
    work()
    return time.process_time() - started


def running(side: int) -> tuple[float, float]:
    """Return seconds a token and weight, and a token and element of sums of products."""
    model = nn.Sequential(*(nn.Linear(side, side, bias=False) for _ in range(4)))
    model.requires_grad_(requires_grad=False)
    tokens, weights = 1024, 4 * side**2
    x = torch.randn(tokens, side)

    def passed() -> None:
        model(x.clone().requires_grad_()).square().sum().backward()

    places = dict(model.named_parameters())

    def watched() -> None:
        with Moments().watch(places):
            passed()

    plain = seconds_of(passed)
    return plain / (tokens * weights), (seconds_of(watched) - plain) / (tokens * 2 * weights)


def quantizing(side: int) -> tuple[float, float]:
    """Return the seconds of a square matrix's metric, and of the rest."""
    draw = torch.Generator().manual_seed(0)
    name, weight = "h.0.weight", torch.randn(side, side, generator=draw)
    hessians = []
    for _ in range(2):
        x = torch.randn(2 * side, side, generator=draw)
        hessians.append(x.T @ x / len(x))
    known = Calibration(
        {name: hessians[0]}, {name: hessians[1].diagonal().clone()}, {}, 1, {}, {name: hessians[1]}
    )
    checkpoint = from_state_dict({name: weight})
    found = RateDistortion(checkpoint, select(checkpoint), load_recipe("frontier"), known, jobs=1)
    metric = seconds_of(lambda: found.metric(name))
    found.offset(name)
    step = found.log2_step_for(3.0)
    return metric, seconds_of(lambda: found.quantize(name, step)) - metric


def coding(side: int) -> float:
    """Return seconds a symbol of the search for a pipeline."""
    rng = np.random.default_rng(0)
    symbols = np.clip(rng.normal(32, 3, (side, side)).round(), 0, 63).astype(np.uint8)
    group = StreamGroup((symbols,), 64, 1)
    return seconds_of(lambda: choose(group, DEFAULT)) / symbols.size


LLAMA = {
    "7B": {"layers": 32, "width": 4096, "hidden": 11008, "kv": 4096},
    "70B": {"layers": 80, "width": 8192, "hidden": 28672, "kv": 1024},
}
"""Shapes of Llama 2."""


def shapes(layers: int, width: int, hidden: int, kv: int) -> list[TensorInfo]:
    """List the matrices of a model of Llama's kind."""
    own = {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (kv, width),
        "self_attn.v_proj": (kv, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (hidden, width),
        "mlp.up_proj": (hidden, width),
        "mlp.down_proj": (width, hidden),
    }
    found = {
        f"model.layers.{layer}.{name}.weight": shape
        for layer in range(layers)
        for name, shape in own.items()
    }
    found |= dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), (32000, width))
    return [TensorInfo(name, shape, torch.bfloat16) for name, shape in found.items()]


def plans(costs: Costs) -> list[dict[str, str | float]]:
    """Plan for known shapes, with more and more workers."""
    rows: list[dict[str, str | float]] = []
    for name, kind in LLAMA.items():
        for workers in (1, 16, 128):
            found = plan_work(
                shapes(**kind),
                load_recipe("frontier"),
                tokens=16384,
                trials=4,
                workers=workers,
                costs=costs,
            )
            hours = {f"{phase.name} h": round(phase.hours, 1) for phase in found.phases}
            memory = {f"{p.name} GB": round(p.memory_bytes / 1e9, 1) for p in found.phases}
            rows.append(
                {"model": name, "workers": workers, "passes": found.passes, **hours, **memory}
                | {"calibration GB": round(found.calibration_bytes / 1e9, 1)}
                | {"file GB": round(found.file_bytes / 1e9, 1)}
            )
    return rows


if __name__ == "__main__":
    main()
