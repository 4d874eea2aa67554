"""
What is to be seen on the first machine with a CUDA GPU: its tests, and one table.

Tokens per second of scoring with its share of the matmul peak, of each strategy of test-time
training, of calibrating, and of quantizing with what was found, all of a model of random weights
in the shape of PR 1934. Each is run once to get warm and once to be timed. As
``make test-cuda``, from the repository's root::

    python -m benchmarks.cuda

Exit code 77 if there is no CUDA device, 1 if tests fail. It has not been run on one yet.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

import artpack
from artpack import Settings, TttOptions, WindowOptions
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.windows.sliding import sequential
from artpack.models import preset
from benchmarks.bench_eval import random_model
from benchmarks.flops import plan_flops
from benchmarks.peak import matmul_peak, seconds_of
from benchmarks.report import Row, print_table

NO_DEVICE = 77
"""Exit code of what was not run, as automake has it."""

DOCUMENT_TOKENS, WINDOW_TOKENS = 700, 1024


def main() -> int:
    """Run the tests, and print the table."""
    if not torch.cuda.is_available():
        print("test-cuda: this machine has no CUDA device; nothing was run")
        return NO_DEVICE
    tests = [sys.executable, "-m", "pytest", "-m", "cuda", "-q"]
    failed = subprocess.run(tests, check=False).returncode
    print_table(list(rows("cuda", "pr1934", tokens=1 << 20, sizes=(4096, 8192))))
    return int(failed != 0)


def rows(device: str, model: str, *, tokens: int, sizes: Sequence[int]) -> Iterator[Row]:
    """Measure, and yield a row for each job."""
    config = preset(model)
    module, stream = random_model(config).to(device), random_stream(config.vocab_size, tokens)
    settings = Settings(device, precision="bf16")
    windows = WindowOptions(window_tokens=WINDOW_TOKENS)
    scoring = partial(artpack.evaluate, module, stream, windows=windows, settings=settings)
    spent = timed(scoring)
    flops = plan_flops(config, sequential(tokens - 1, WINDOW_TOKENS))
    share = flops / spent / matmul_peak(sizes, device, torch.bfloat16)
    yield row("score", tokens, spent, f"{share:.0%}")
    for strategy in ("scalars", "blocks", "lora", "phased"):
        if strategy == "blocks" and config.names.matrices == "banked":
            continue  # refused: its matrices are those of all blocks
        learning = partial(scoring, ttt=TttOptions(recipe=strategy))
        yield row(f"ttt {strategy}", tokens, timed(learning), "")
    calibrate = partial(artpack.calibrate, module, stream.ids, settings=settings)
    yield row("calibrate", tokens, timed(calibrate), "")
    found = calibrate()
    quantize = partial(
        artpack.compress, module, recipe="pr1934", calibration=found, device=device, profile="fast"
    )
    yield row("quantize and pack", tokens, timed(quantize), "")


def random_stream(vocab_size: int, tokens: int) -> Stream:
    """Return documents of random tokens, each of which stands for a byte."""
    ids = np.random.default_rng(0).integers(2, vocab_size, size=tokens, dtype=np.uint16)
    ids[::DOCUMENT_TOKENS] = 1
    return Stream(ids, np.ones(tokens, np.int64))


def timed(work: Callable[[], Any]) -> float:
    """Run a job twice and return the seconds of the second time."""

    def whole() -> float:
        work()
        return 0.0

    return min(seconds_of(whole) for _ in range(2))


def row(what: str, tokens: int, seconds: float, share: str) -> Row:
    """Write down a job."""
    return {
        "job": what,
        "seconds": seconds,
        "tokens/s": tokens / seconds,
        "share of peak": share,
    }


if __name__ == "__main__":
    sys.exit(main())
