"""
Training on the export grid against quantizing afterwards.

For each recipe two models are trained on the same batches from the same initial weights,
one with the packing recipe in the loop and one without. Both are scored on held-out text
as trained and as their packed files give them back::

    artpack tokenize TEXT... -o DATA
    python -m benchmarks.bench_qat --data DATA --csv benchmarks/results

Text of 10 MB or more; docs/TRAINING.md says where ours came from.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from artpack.artifact.reader import open_artifact
from artpack.checkpoint import open_checkpoint
from artpack.compress import compress
from artpack.evaluate.placements import place
from artpack.evaluate.score import score
from artpack.models import ModelConfig, build, expected_shapes, preset
from artpack.recipes import load_recipe
from artpack.selection import select
from artpack.train.data import Data, read_data
from artpack.train.recipe import load_training
from artpack.train.scale import scale_model
from artpack.train.settings import Qat, Training
from artpack.train.train import Result, train
from benchmarks.report import Row, print_table, write_csv

HELD_OUT_TOKENS = 32768
LEARNED = {
    "pr2086": Qat("pr2086", ("matrices.min_weights=0", "matrices.min_rows=32")),
    "pr1123": Qat("pr1123"),
    "pr576": Qat("int5", ("matrices.quantizer.clip={id='percentile',percentile=99.95}",), 0.5),
}
"""
What is packed, by training recipe. At these widths the published rules would leave most
matrices out as too small. PR 576's own steps have a floor that fits only larger weights.
"""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--recipes", default=",".join(LEARNED), help="comma between them")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--window-tokens", type=int, default=256)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    asked = parser.parse_args()
    data = read_data(asked.data, held_out_tokens=HELD_OUT_TOKENS)
    rows = []
    for name in asked.recipes.split(","):
        for quantized in (False, True):
            rows.append(measure(name, data, asked, quantized=quantized))
            print_table(rows[-1:])
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "qat", rows)
    return 0


def measure(name: str, data: Data, asked: argparse.Namespace, *, quantized: bool) -> Row:
    """Train one model, pack it, and score it before and after."""
    whole = preset(load_training(name).model)
    config = scale_model(whole, vocab_size=data.vocab_size, layers=asked.layers, width=asked.width)
    training = replace(settings(name, asked), qat=LEARNED[name] if quantized else None)
    trained_as = config if quantized else replace(config, simulated=())
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = train(training, trained_as, data, Path(folder))
        seconds = time.perf_counter() - started
        content = pack(Path(folder) / "ckpt.pt", LEARNED[name])
    with open_artifact(content) as artifact:
        weights = artifact.load()
    # A twin that knew no grid may be run either way; it gets the better one.
    packed = min(
        bits_per_byte(model, weights, data, asked.window_tokens) for model in {config, trained_as}
    )
    return {
        "recipe": name,
        "packed_as": LEARNED[name].recipe,
        "trained": "on the grid" if quantized else "without",
        "steps": len(result.log),
        "loss_first": round(result.log[0]["loss"], 3),
        "loss_last": round(last_loss(result), 3),
        "bpb_trained": round(result.kept.score.bits_per_byte.value, 4),
        "bpb_packed": round(packed, 4),
        "bytes": len(content),
        "train_seconds": round(seconds),
    }


def settings(name: str, asked: argparse.Namespace) -> Training:
    """Return a seed's settings at the size that was asked for."""
    batches = {
        "tokens": asked.batch_tokens,
        "window_tokens": asked.window_tokens,
        "micro_tokens": asked.batch_tokens,
        "order": "shuffled",
        "ranked_shards": "false",
    }
    overrides = [f"batches.{key}={value}" for key, value in batches.items()]
    return load_training(name, [*overrides, "validate_steps=0"], steps=asked.steps)


def pack(path: Path, learned: Qat) -> bytes:
    """Return the packed file of a checkpoint."""
    spec = load_recipe(learned.recipe, learned.overrides)
    with open_checkpoint(path) as checkpoint:
        return b"".join(compress(checkpoint, select(checkpoint), spec).pieces())


def bits_per_byte(
    config: ModelConfig, weights: dict[str, Tensor], data: Data, window_tokens: int
) -> float:
    """Score weights on the held-out text."""
    held_out = data.held_out
    plan = place("sequential", held_out.ids, window_tokens, window_tokens, bos_id=held_out.bos_id)
    # Only models that know the grid have corrections of its scales, and they stay 1.
    ones = {name: torch.ones(shape) for name, shape in expected_shapes(config).items()}
    own = {name: weights.get(name, one) for name, one in ones.items()}
    found = score(build(config, own), held_out.ids, plan, held_out.byte_counts)
    return found.bits_per_byte.value


def last_loss(result: Result) -> float:
    """Return the mean loss of the last twentieth of the steps."""
    losses = [row["loss"] for row in result.log][-max(1, len(result.log) // 20) :]
    return sum(losses) / len(losses)


if __name__ == "__main__":
    sys.exit(main())
