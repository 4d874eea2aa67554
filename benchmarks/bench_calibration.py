"""
What calibration takes, and which tokens it should be made with.

Calibrates the shared checkpoint lm6m with different tokens, rounds it by two recipes
with each, and compares the result with the unpacked checkpoint, before any coding::

    python -m benchmarks.bench_calibration --tokens 16384 --csv benchmarks/results
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from artpack.calibration.collect import CALIBRATION, calibrate
from artpack.calibration.file import Calibration
from artpack.calibration.windows import Windows, cut_windows
from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.selection import select
from artpack.evaluation.scoring.score import compare
from artpack.evaluation.tokens.shards import read_tokens
from artpack.evaluation.tokens.stream import Stream, read_stream
from artpack.evaluation.windows.placements import place
from artpack.models import GPT, build, preset
from artpack.pack.prepare import prepare
from artpack.recipes import load_recipe
from artpack.runners.batches import TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from artpack.runners.self_generate import self_generate
from benchmarks.memory import peak_growth_mib
from benchmarks.report import Row, print_table, write_csv
from benchmarks.sources import lm6m_path

WINDOW_TOKENS = 512
RECIPES = ("pr576", "pr1934")
SIZES = (8192, 32768, 131_072)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tokens", type=int, help="compare on the first so many only")
    parser.add_argument("--only", default="", metavar="NAME,...", help="rows to measure")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    path = lm6m_path()
    if path is None:
        print("the checkpoint lm6m is not there: set ARTPACK_SHARED to the folder of shared data")
        return 1
    with open_checkpoint(path) as checkpoint:
        stored = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
        model = build(preset("lm6m"), stored)
    tokenizer = SentencePieceProcessor(model_file=str(path.with_name("sp1024.model")))
    stream = read_stream(str(path.with_name("val.bin")), tokenizer).first(arguments.tokens)
    chosen = [name for name in arguments.only.split(",") if name]
    rows = [
        measure(name, make, path, model, stream)
        for name, make in sources(path, model).items()
        if name in chosen or not chosen
    ]
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "calibration", rows)
    return 0


def sources(path: Path, model: GPT) -> Mapping[str, Callable[[], Windows]]:
    """Return what makes calibration windows, by the name of its row."""
    ids = read_tokens(str(path.with_name("calib.bin")))
    spread = {
        f"spread-{size}": partial(cut_windows, ids, WINDOW_TOKENS, limit_tokens=size)
        for size in SIZES
    }
    first = {f"first-{size}": partial(cut_windows, ids[:size], WINDOW_TOKENS) for size in SIZES}
    runner = GptRunner(model)
    own = {
        f"self-{size}": partial(self_generate, runner, size // WINDOW_TOKENS, WINDOW_TOKENS)
        for size in SIZES[:2]
    }
    return spread | first | own


def measure(name: str, make: Callable[[], Windows], path: Path, model: GPT, stream: Stream) -> Row:
    """Calibrate with some tokens and say what it took and what it is good for."""
    started = time.process_time()
    windows = make()
    made = time.process_time()
    with open_checkpoint(path) as checkpoint:
        collect = partial(
            calibrate,
            GptRunner(model),
            TokenBatches(windows, CALIBRATION.batch_tokens),
            places(model),
            weights_sha256=checkpoint.weights_sha256,
        )
    hessians, _ = peak_growth_mib(partial(collect, fisher=False))
    collected = time.process_time()
    _, peak_mib = peak_growth_mib(collect)
    return {
        "tokens": name,
        "windows_cpu_s": round(made - started, 1),
        "hessians_cpu_s": round(collected - made, 1),
        "all_cpu_s": round(time.process_time() - collected, 1),
        "all_peak_mib": round(peak_mib),
        **{f"kl_{recipe}": kl(recipe, hessians, path, model, stream) for recipe in RECIPES},
    }


def kl(recipe: str, calibration: Calibration, path: Path, model: GPT, stream: Stream) -> float:
    """Return KL(unpacked || rounded) in nats per token."""
    weights = dict(model.state_dict())
    with open_checkpoint(path) as checkpoint:
        made = prepare(checkpoint, select(checkpoint), load_recipe(recipe), calibration)
    for name, tensor in made.items():
        weights[name] = tensor.quantizer.dequantize(tensor.quantized)
    rounded = build(preset("lm6m"), weights)
    plan = place("sequential", stream.ids, WINDOW_TOKENS, WINDOW_TOKENS, bos_id=stream.bos_id)
    found = compare(model, rounded, stream.ids, plan, stream.byte_counts, bos_id=stream.bos_id)
    return round(found.kl_nats.value, 5)


if __name__ == "__main__":
    sys.exit(main())
