"""
What learning while scoring is worth, and how fast it is.

The language model ``lm6m`` is packed and unpacked in memory, and its validation tokens
are scored by each recipe of test-time training: in the recipe's windows without
learning, and with it. A recipe that does not lower the bits per byte fails the run, and so does
one whose journal has a fault. ``scored_tokens_s`` is that of ``artpack.evaluation.ttt``,
from tokens to a score, learning included. From the repository's root::

    python -m benchmarks.bench_ttt --csv benchmarks/results
    python -m benchmarks.bench_ttt --tokens 65536

Where there is a CUDA device, or with ``--speed-only``, the published PR 1934 is timed as
well: random weights in its shape, random documents, its own recipe.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor
from torch import nn

from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.selection import select
from artpack.evaluation.scoring.score import score_documents
from artpack.evaluation.scoring.summary import score_of_sums
from artpack.evaluation.tokens.stream import Stream, read_stream
from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.ttt.attribution import difference
from artpack.evaluation.ttt.load import load_recipe
from artpack.evaluation.ttt.recipe import placed
from artpack.evaluation.ttt.recipe_windows import plan_of
from artpack.models import GPT, build, preset, read_config
from artpack.recipes import load_recipe as load_packing
from artpack.runners.settings import Settings
from benchmarks.report import Row, print_table, write_csv
from benchmarks.sources import lm6m_path

RECIPES = ("scalars", "blocks", "lora", "phased")
WINDOW_TOKENS = 512
"""What lm6m was trained with."""


@dataclass(frozen=True)
class Subject:
    """
    A model and what it is scored on.

    Attributes:
        name: Of the model.
        model: On ``settings.device``.
        stream: Tokens.
        window_tokens: Where a recipe leaves them open.
        settings: Device and precision.
    """

    name: str
    model: GPT
    stream: Stream
    window_tokens: int
    settings: Settings


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).strip().splitlines()[0])
    parser.add_argument("--tokens", type=int, help="score no more than the first so many")
    parser.add_argument("--recipes", default=",".join(RECIPES), help="of lm6m, with commas")
    parser.add_argument("--packing", default="int6", help="recipe that lm6m is packed with")
    parser.add_argument("--speed-only", action="store_true", help="only time PR 1934")
    parser.add_argument("--documents", type=int, default=256, help="of PR 1934's stream")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--csv", type=Path, metavar="PATH", help="a file, or a folder for one")
    options = parser.parse_args()
    rows = list(measured(options))
    print_table(rows)
    if options.csv:
        write_csv(options.csv, "ttt", rows)
    sys.exit(any(float(row["change_bits"]) >= 0 for row in rows if row["model"] != "pr1934"))


def measured(options: argparse.Namespace) -> Iterator[Row]:
    """Yield a row for each recipe."""
    if not options.speed_only:
        subject = lm6m(options.packing, options.tokens, Settings(options.device))
        for recipe in options.recipes.split(","):
            yield measure(subject, recipe)
    if options.speed_only or options.device == "cuda":
        settings = Settings(options.device, "bf16" if options.device == "cuda" else "fp32")
        yield measure(pr1934(options.documents, settings), "pr1934")


def lm6m(packing: str, tokens: int | None, settings: Settings) -> Subject:
    """Return the language model as an artifact of it would give it."""
    path = lm6m_path()
    if path is None:
        sys.exit("the checkpoint lm6m is missing: see benchmarks/sources.py")
    spec = load_packing(packing)
    config = read_config(json.loads(path.with_name("config.json").read_text()))
    with open_checkpoint(path) as checkpoint:
        weights = {info.name: checkpoint.read(info.name) for info in select(checkpoint).tensors}
    for name, weight in weights.items():
        rule = spec.rule_for(name, tuple(weight.shape))
        assert rule is not None, name
        assert rule.quantizer is not None, name
        weights[name] = rule.quantizer.dequantize(rule.quantizer.quantize(weight.float()))
    tokenizer = SentencePieceProcessor(model_proto=path.with_name("sp1024.model").read_bytes())
    stream = read_stream(str(path.with_name("val.bin")), tokenizer).first(tokens)
    model = build(config, weights).to(settings.device)
    return Subject(f"lm6m {packing}", model, stream, WINDOW_TOKENS, settings)


def pr1934(documents: int, settings: Settings) -> Subject:
    """Return a random model in the published shape, and documents of the published lengths."""
    config = preset("pr1934")
    torch.manual_seed(0)
    model = GPT(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.02)
    draw = np.random.default_rng(0)
    # Median 560 tokens, a tenth beyond 2,000: seeds/pr1934.md lists the published ones.
    lengths = np.clip(draw.lognormal(np.log(560), 1.0, documents), 50, 10_000).astype(int)
    ids = draw.integers(8, config.vocab_size, lengths.sum()).astype(np.uint16)
    ids[np.cumsum(lengths) - lengths] = 1
    stream = Stream(ids, np.ones(ids.size, np.int64))
    return Subject("pr1934", model.eval().to(settings.device), stream, 2048, settings)


def measure(subject: Subject, name: str) -> Row:
    """Score a stream with and without learning, and return the numbers as they are printed."""
    recipe = placed(load_recipe(name).recipe, subject.window_tokens, subject.window_tokens)
    plan, settings = plan_of(recipe, subject.stream), subject.settings
    started = time.perf_counter()
    still = score_documents(subject.model, subject.stream, plan, settings=settings)
    between = time.perf_counter()
    adapted = adapt(subject.model, subject.stream, recipe, settings=settings)
    seconds = time.perf_counter() - between
    faults = adapted.journal.faults(subject.stream.ids.size - 1)
    assert not faults, faults[0]
    change, scored = difference(still, adapted.sums), adapted.score.coverage.scored
    return {
        "model": subject.name,
        "recipe": name,
        "device": settings.device,
        "precision": settings.precision,
        "scored_tokens": scored,
        "updates": len(adapted.updates),
        "still_bits": round(score_of_sums(still, plan.coverage()).bits_per_byte.value, 5),
        "ttt_bits": round(adapted.score.bits_per_byte.value, 5),
        "change_bits": round(change.value, 5),
        "change_error": round(change.stderr or 0.0, 5),
        "still_tokens_s": round(scored / (between - started)),
        "scored_tokens_s": round(scored / seconds),
        "threads": torch.get_num_threads(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    main()
