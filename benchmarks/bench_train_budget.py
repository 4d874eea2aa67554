"""
Training to a budget, against training at full precision and packing afterwards.

The model of the demo is trained from scratch both ways with as many tokens: up to the last share
it is the same run, which is kept in a folder and gone on from. From the repository's root, with
the demo's text as docs/TRAINING.md makes it::

    artpack tokenize kjv.txt -o kjv --held-out 0.03
    python -m benchmarks.bench_train_budget --data kjv --folder RUN --csv benchmarks/results
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import artpack
from benchmarks.report import Row, print_table, write_csv

BUDGETS = (200_000, 300_000, 500_000)
SHAPE: dict[str, Any] = {"layers": 5, "width": 128}
BATCHES = ("batches.tokens=4096", "batches.window_tokens=256")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="for the run")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    asked = parser.parse_args()
    rows = []
    for row in measure(asked.data, asked.folder, asked.steps, asked.seed):
        rows.append(row)
        print_table(rows[-1:])
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "train-budget", rows)
    return 0


def measure(data: Path, folder: Path, steps: int, seed: int) -> Iterator[Row]:
    """Yield a row for each budget and way."""
    overrides = (*BATCHES, f"seed={seed}")
    run: dict[str, Any] = {**SHAPE, "overrides": overrides, "steps": steps, "resume": True}
    for budget in BUDGETS:
        trained = artpack.train(data, folder / "first", budget=budget, **run)
        assert trained.packed is not None
        packed = trained.packed
        yield row("to the budget", budget, trained, packed.size_bytes, packed.score)
    whole = folder / "whole"
    if not whole.exists():
        shutil.copytree(folder / "first", whole)
    trained = artpack.train(data, whole, **run)
    scoring = artpack.Scoring(str(data / "*_val_*.bin"), next(data.glob("*.model")))
    for budget in BUDGETS:
        result = artpack.compress(
            whole / "ckpt.pt",
            budget=budget,
            calibration_tokens=str(data / "*_train_*.bin"),
            scoring=scoring,
        )
        assert result.comparison is not None
        yield row("packed afterwards", budget, trained, result.size_bytes, result.comparison.packed)


def row(
    how: str, budget: int, trained: artpack.TrainResult, size_bytes: int, score: artpack.Score
) -> Row:
    """Return what a file has and scores."""
    return {
        "how": how,
        "budget": budget,
        "bytes": size_bytes,
        "steps_full_precision": len(trained.log),
        "bpb_full_precision": round(trained.score.bits_per_byte.value, 4),
        "bpb": round(score.bits_per_byte.value, 4),
        "bpb_stderr": round(score.bits_per_byte.stderr or 0.0, 4),
        "tokens": score.coverage.scored,
    }


if __name__ == "__main__":
    sys.exit(main())
