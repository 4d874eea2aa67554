"""
Which ways to score pass the audit, and which conditions each cheat breaks.

The packed language model ``lm6m`` and its validation tokens; every recipe of test-time
training, at a size at which it learns within them, alone and mixed with n-grams; the
recipes as published; and the cheats of the tests. The run fails if a row is not what it
must be. From the repository's root::

    python -m benchmarks.bench_audit --csv benchmarks/results
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from artpack.evaluation.audit.run import audit_evaluator
from artpack.evaluation.audit.sample import Sample
from artpack.evaluation.scoring.evaluators import Evaluator, Mixed, Windowed
from artpack.evaluation.scoring.observation import Pass
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.evaluator import Adapting
from artpack.evaluation.ttt.load import load_recipe
from artpack.evaluation.ttt.recipe import OverStream
from artpack.evaluation.windows.placements import place
from artpack.models import GPT
from artpack.runners.settings import Settings
from benchmarks.bench_ttt import WINDOW_TOKENS, lm6m
from benchmarks.report import Row, print_table, write_csv
from tests.evaluation import cheats

CONDITIONS = ("C1", "C2", "C3", "C4")
RECIPES = ["scalars", "blocks", "lora", "phased", "pr2086", "pr576", "pr1123", "pr826", "pr1934"]
STRIDE_TOKENS = 256
SAMPLE = Sample(cuts=2)
AS_PUBLISHED = {"pr576": {"C3", "C4"}, "pr1123": {"C3", "C4"}, "pr826": set(), "pr1934": set()}
"""What published recipes break: two score their last targets many times."""
CHEATS: dict[str, tuple[Callable[[Evaluator], Evaluator], set[str]]] = {
    "peeks at the target": (cheats.Peeks, {"C1", "C2"}),
    "looks ahead": (cheats.LooksAhead, {"C1", "C2"}),
    "updates first": (cheats.UpdatesFirst, {"C1", "C2", "C3"}),
    "updates first, hides it": (partial(cheats.UpdatesFirst, admits=False), {"C1", "C2"}),
    "lookup of PR 826": (cheats.PublishedLookup, {"C2"}),
    "scores again": (cheats.Rescores, {"C1", "C2", "C3", "C4"}),
    "better of two passes": (partial(cheats.Rescores, chooses=True), {"C1", "C2"}),
    "leaves the end out": (cheats.Skips, {"C3"}),
    "second half first": (cheats.Backwards, {"C1", "C4"}),
}


@dataclass
class Remembered:
    """An evaluator that is not run twice on the same tokens."""

    evaluator: Evaluator
    passes: dict[bytes, Pass] = field(default_factory=dict)

    def __call__(self, stream: Stream, watch: Sequence[int]) -> Pass:
        """Score a stream."""
        key = stream.ids.tobytes()
        if key not in self.passes:
            self.passes[key] = self.evaluator(stream, watch)
        return self.passes[key]


def main() -> int:
    """Audit, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).strip().splitlines()[0])
    parser.add_argument("--tokens", type=int, default=3072, help="audit the first so many")
    parser.add_argument("--recipes", default=",".join(RECIPES), help="with commas")
    parser.add_argument("--csv", type=Path, metavar="PATH", help="a file, or a folder for one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    subject = lm6m("int6", options.tokens, Settings())
    rows = [
        row(name, evaluator, subject.stream, must_break)
        for name, evaluator, must_break in evaluators(subject.model, options.recipes.split(","))
    ]
    print_table(rows)
    if options.csv is not None:
        write_csv(options.csv, "audit", rows)
    return int(any(row["outcome"] == "WRONG" for row in rows))


def evaluators(model: GPT, recipes: list[str]) -> Iterator[tuple[str, Evaluator, set[str]]]:
    """Yield name, evaluator and the conditions that it must break."""
    for placement in ("sequential", "sliding", "documents"):
        yield placement, windowed(model, placement), set()
    sequential = Remembered(windowed(model, "sequential"))
    for mixer in ("learned", "published"):
        yield f"n-grams, {mixer}", Mixed(sequential, mixer), set()
    for name in recipes:
        evaluator = Remembered(adapting(model, name))
        yield name, evaluator, set()
        yield f"{name}, n-grams", Mixed(evaluator, "learned"), set()
    for name in sorted(AS_PUBLISHED.keys() & set(recipes)):
        yield f"{name} --faithful", adapting(model, name, faithful=True), AS_PUBLISHED[name]
    for name, (cheat, must_break) in CHEATS.items():
        yield f"cheat: {name}", cheat(sequential), must_break


def windowed(model: GPT, placement: str) -> Windowed:
    """Return the model in windows."""
    return Windowed(
        model,
        lambda stream: place(placement, stream.ids, WINDOW_TOKENS, STRIDE_TOKENS),
        model.config.vocab_size,
        Settings(),
    )


def adapting(model: GPT, name: str, *, faithful: bool = False) -> Adapting:
    """Return a recipe at a size at which it learns within a few thousand tokens."""
    sets = [f"window_tokens={WINDOW_TOKENS}"]
    if isinstance(load_recipe(name).recipe, OverStream):
        sets += [f"stride_tokens={STRIDE_TOKENS}", "chunk_tokens=1024"]
    else:
        sets.append("chunk_tokens=256")
    return Adapting(model, load_recipe(name, sets, faithful=faithful).recipe, Settings())


def row(name: str, evaluator: Evaluator, stream: Stream, must_break: set[str]) -> Row:
    """Audit an evaluator."""
    started = time.perf_counter()
    findings = audit_evaluator(evaluator, stream, SAMPLE, exact=True)
    broken = {finding.name for finding in findings if not finding.passed}
    return {
        "evaluation": name,
        **{name: "fails" if name in broken else "ok" for name in CONDITIONS},
        "outcome": ("caught" if broken else "passes") if broken == must_break else "WRONG",
        "targets": stream.ids.size - 1,
        "seconds": round(time.perf_counter() - started, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
