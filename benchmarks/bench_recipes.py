"""
What each recipe of the package costs in bytes and in score.

Packs the shared checkpoint lm6m with every recipe (profile ``default``), and the plain
ones once more with GPTQ, and scores the result against the unpacked checkpoint, on the
same tokens in the same run. Recipes that need data get Hessians of the tokens that come
with the checkpoint for that. The recipe ``frontier`` is fitted to a size and so is
measured elsewhere::

    python -m benchmarks.bench_recipes --csv benchmarks/results
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from artpack.artifact.reader import open_artifact
from artpack.calibration.collect import CALIBRATION, calibrate
from artpack.calibration.file import Calibration
from artpack.calibration.windows import cut_windows
from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.selection import select
from artpack.evaluation.scoring.score import compare
from artpack.evaluation.tokens.shards import read_tokens
from artpack.evaluation.tokens.stream import Stream, read_stream
from artpack.evaluation.windows.placements import place
from artpack.models import GPT, build, preset
from artpack.pack.compress import compress
from artpack.pack.prepare import prepare
from artpack.recipes import load_recipe, recipe_names
from artpack.recipes.spec import PlanSpec
from artpack.runners.batches import TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from benchmarks.report import Row, print_table, write_csv
from benchmarks.sources import lm6m_path

WINDOW_TOKENS = 512
CALIBRATION_TOKENS = 131_072
FITTED = ("frontier",)
WITH_GPTQ = ("int4", "int5", "int6")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tokens", type=int, help="score only the first so many")
    parser.add_argument("--only", default="", metavar="NAME,...", help="rows to measure")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    path = lm6m_path()
    if path is None:
        print("the checkpoint lm6m is not there: set ARTPACK_SHARED to the folder of shared data")
        return 1
    stream = read_validation(path.parent).first(arguments.tokens)
    with open_checkpoint(path) as checkpoint:
        baseline = build(
            preset("lm6m"), {i.name: checkpoint.read(i.name) for i in checkpoint.tensors}
        )
    subject = Subject(path, baseline, stream, read_calibration(path, baseline))
    chosen = [name for name in arguments.only.split(",") if name]
    rows = [
        measure(name, spec, subject)
        for name, spec in asked().items()
        if name in chosen or not chosen
    ]
    rows.sort(key=lambda row: row["bytes"])
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "recipes", rows)
    return 0


def read_validation(folder: Path) -> Stream:
    """Read the tokens that come with the checkpoint."""
    tokenizer = SentencePieceProcessor(model_file=str(folder / "sp1024.model"))
    return read_stream(str(folder / "val.bin"), tokenizer)


def asked() -> dict[str, PlanSpec]:
    """Return what is measured, by the name of its row."""
    specs = {name: load_recipe(name) for name in recipe_names() if name not in FITTED}
    return specs | {
        f"{name}+gptq": load_recipe(name, ["matrices.rounding=gptq"]) for name in WITH_GPTQ
    }


def read_calibration(path: Path, model: GPT) -> Calibration:
    """Collect the Hessians of the tokens that come with the checkpoint for that."""
    windows = cut_windows(
        read_tokens(str(path.with_name("calib.bin"))),
        WINDOW_TOKENS,
        limit_tokens=CALIBRATION_TOKENS,
    )
    with open_checkpoint(path) as checkpoint:
        sha256 = checkpoint.weights_sha256
    batches = TokenBatches(windows, CALIBRATION.batch_tokens)
    return calibrate(GptRunner(model), batches, places(model), weights_sha256=sha256, fisher=False)


@dataclass(frozen=True, eq=False)
class Subject:
    """What is packed, and what it is scored with."""

    path: Path
    model: GPT
    stream: Stream
    calibration: Calibration


def measure(name: str, spec: PlanSpec, subject: Subject) -> Row:
    """Pack, unpack and score."""
    stream = subject.stream
    started = time.perf_counter()
    with open_checkpoint(subject.path) as checkpoint:
        selection = select(checkpoint)
        data = subject.calibration if spec.needs_data else None
        prepared = prepare(checkpoint, selection, spec, data)
        quantized = time.perf_counter()
        packed = compress(checkpoint, selection, spec, prepared=prepared)
        content = packed.content()
    seconds = time.perf_counter() - started
    with open_artifact(content) as artifact:
        weights = artifact.load()
    plan = place("sequential", stream.ids, WINDOW_TOKENS, WINDOW_TOKENS, bos_id=stream.bos_id)
    found = compare(
        subject.model,
        build(preset("lm6m"), weights),
        stream.ids,
        plan,
        stream.byte_counts,
        bos_id=stream.bos_id,
    )
    return {
        "recipe": name,
        "bytes": len(content),
        "bits_per_weight": round(8 * len(content) / sum(w.numel() for w in weights.values()), 3),
        "bpb_increase": round(found.bits_per_byte_increase.value, 5),
        "bpb_stderr": _rounded(found.bits_per_byte_increase.stderr, 5),
        "kl_nats": round(found.kl_nats.value, 6),
        "kl_stderr": _rounded(found.kl_nats.stderr, 6),
        "tokens": found.packed.coverage.scored,
        "gptq_seconds": round(quantized - started, 1),
        "pack_seconds": round(seconds, 1),
    }


def _rounded(value: float | None, digits: int) -> float | str:
    return "" if value is None else round(value, digits)


if __name__ == "__main__":
    sys.exit(main())
