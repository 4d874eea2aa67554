"""
What packing costs small models of the five published systems.

Each is trained by its own recipe at a small width and packed by its own recipe, and scored
on held-out text as trained and as its packed file gives it back. Systems that were trained
on their grid get a twin that was not: same batches, same initial weights. From the
repository's root::

    artpack tokenize TEXT... -o DATA
    python -m benchmarks.bench_qat --data DATA --csv benchmarks/results

Text of 10 MB or more; benchmarks/corpus.py makes ours.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from artpack.artifact.reader import open_artifact
from artpack.calibration.collect import CALIBRATION, calibrate
from artpack.calibration.file import Calibration
from artpack.calibration.windows import cut_windows
from artpack.checkpoint import Checkpoint, open_checkpoint
from artpack.checkpoint.selection import select
from artpack.coding.profiles import PROFILES, Profile
from artpack.evaluation.scoring.score import score
from artpack.evaluation.windows.placements import place
from artpack.models import ModelConfig, build, expected_shapes, preset
from artpack.pack.compress import compress
from artpack.pack.prepare import prepare
from artpack.recipes import load_recipe
from artpack.recipes.spec import PlanSpec
from artpack.runners.batches import TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from artpack.training.data import Data, read_data
from artpack.training.recipe import load_training
from artpack.training.scale import scale_model
from artpack.training.settings import Training
from artpack.training.train import TrainResult, train
from benchmarks.report import Row, print_table, write_csv

RECIPES = ("pr576", "pr826", "pr1123", "pr1934", "pr2086")
HELD_OUT_TOKENS = 32768
CALIBRATION_TOKENS = 16384


@dataclass(frozen=True)
class Subject:
    """
    A small model of a published system.

    Attributes:
        name: Of its recipes, for training and for packing.
        config: The model.
        training: How it is trained, on the grid if the system was.
        packing: How it is packed.
    """

    name: str
    config: ModelConfig
    training: Training
    packing: PlanSpec

    @property
    def twin(self) -> "Subject":
        """The same, trained without regard to the grid."""
        config = replace(self.config, simulated=())
        return replace(self, config=config, training=replace(self.training, qat=None))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--recipes", default=",".join(RECIPES), help="comma between them")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--window-tokens", type=int, default=256)
    parser.add_argument("--profile", choices=[*PROFILES], default="default")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    asked = parser.parse_args()
    data = read_data(asked.data, held_out_tokens=HELD_OUT_TOKENS)
    rows = []
    for name in asked.recipes.split(","):
        subject = make_subject(name, data, asked)
        for one in [subject.twin, subject] if subject.training.qat else [subject]:
            rows.append(measure(one, data, PROFILES[asked.profile]))
            print_table(rows[-1:])
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "qat", rows)
    return 0


def make_subject(name: str, data: Data, asked: argparse.Namespace) -> Subject:
    """Scale a published system to the size that was asked for."""
    batches = {
        "tokens": asked.batch_tokens,
        "window_tokens": asked.window_tokens,
        "micro_tokens": asked.batch_tokens,
        "order": "shuffled",
        "ranked_shards": "false",
    }
    changes = [f"batches.{key}={value}" for key, value in batches.items()]
    training = load_training(name, [*changes, "validate_steps=0"], steps=asked.steps)
    whole = preset(training.model)
    config = scale_model(whole, vocab_size=data.vocab_size, layers=asked.layers, width=asked.width)
    overrides = tuple(fitted(load_recipe(name), asked.width / whole.model_dim))
    if training.qat is not None:
        training = replace(training, qat=replace(training.qat, overrides=overrides))
    return Subject(name, config, training, load_recipe(name, overrides))


def fitted(spec: PlanSpec, narrower: float) -> Iterator[str]:
    """Yield what a recipe calls too small to be quantized, for a model that is narrower."""
    for rule in spec.rules:
        if rule.min_weights:
            yield f"{rule.name}.min_weights={math.ceil(rule.min_weights * narrower**2)}"


def measure(subject: Subject, data: Data, profile: Profile) -> Row:
    """Train one model, pack it, and score it before and after."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = train(subject.training, subject.config, data, Path(folder))
        seconds = time.perf_counter() - started
        with open_checkpoint(Path(folder) / "ckpt.pt") as checkpoint:
            calibration = calibrated(checkpoint, subject, result.kept.weights, data)
            content = pack(checkpoint, subject, calibration, profile)
    with open_artifact(content) as artifact:
        packed = bits_per_byte(subject, artifact.load(), data)
    trained = result.kept.score.bits_per_byte.value
    return {
        "recipe": subject.name,
        "trained": "on the grid" if subject.training.qat else "without",
        "steps": len(result.log),
        "loss_first": round(result.log[0]["loss"], 3),
        "loss_last": round(last_loss(result), 3),
        "bpb_trained": round(trained, 4),
        "bpb_packed": round(packed, 4),
        "bpb_cost": round(packed - trained, 4),
        "bytes": len(content),
        "train_seconds": round(seconds),
    }


def calibrated(
    checkpoint: Checkpoint, subject: Subject, weights: dict[str, Tensor], data: Data
) -> Calibration | None:
    """Run the model over some of what it was trained on, if its recipe rounds with data."""
    if not any(rule.needs_data for rule in subject.packing.rules):
        return None
    window_tokens = subject.training.batches.window_tokens
    windows = cut_windows(data.in_order(), window_tokens, limit_tokens=CALIBRATION_TOKENS)
    model = build(subject.config, weights)
    return calibrate(
        GptRunner(model),
        TokenBatches(windows, CALIBRATION.batch_tokens),
        places(model),
        weights_sha256=checkpoint.weights_sha256,
        fisher=False,
    )


def pack(
    checkpoint: Checkpoint, subject: Subject, calibration: Calibration | None, profile: Profile
) -> bytes:
    """Return the packed file of a checkpoint."""
    selection, spec = select(checkpoint), subject.packing
    prepared = prepare(checkpoint, selection, spec, calibration)
    packed = compress(checkpoint, selection, spec, prepared=prepared, profile=profile)
    return packed.content()


def bits_per_byte(subject: Subject, weights: dict[str, Tensor], data: Data) -> float:
    """Score weights on the held-out text."""
    held_out, window_tokens = data.held_out, subject.training.batches.window_tokens
    plan = place("sequential", held_out.ids, window_tokens, window_tokens, bos_id=held_out.bos_id)
    # Only models that know the grid have corrections of its scales, and they stay 1.
    ones = {name: torch.ones(shape) for name, shape in expected_shapes(subject.config).items()}
    own = {name: weights.get(name, one) for name, one in ones.items()}
    found = score(build(subject.config, own), held_out.ids, plan, held_out.byte_counts)
    return found.bits_per_byte.value


def last_loss(result: TrainResult) -> float:
    """Return the mean loss of the last twentieth of the steps."""
    losses = [row["loss"] for row in result.log][-max(1, len(result.log) // 20) :]
    return sum(losses) / len(losses)


if __name__ == "__main__":
    sys.exit(main())
