"""
How often the examination of an evaluator from outside catches which cheat, and by what.

The evaluators of the tests, legal ones and cheats, on 600 tokens, each with several seeds.
They run in this process, made anew for each run: what is measured is the search, not the
isolation. The run fails if a legal one is accused or a cheat is never caught by what it
breaks. From the repository's root::

    python -m benchmarks.bench_black_box --csv benchmarks/results
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from artpack.evaluation.black_box.answer import Answer
from artpack.evaluation.black_box.examination import Examination
from artpack.evaluation.black_box.plan import ExaminationPlan
from benchmarks.report import Row, print_table, write_csv
from tests.evaluation.black_box.evaluators import CHEATS, LEGAL, VOCAB, Evaluator, Ids, text

CONDITIONS = ("C1", "C2", "C3", "C4")


def main() -> int:
    """Examine, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).strip().splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="examinations of each evaluator")
    parser.add_argument("--share", type=float, default=0.05, help="see artpack audit")
    parser.add_argument("--csv", type=Path, metavar="PATH", help="a file, or a folder for one")
    options = parser.parse_args()
    plan = ExaminationPlan(share=options.share)
    legal = [(name, make, set[str]()) for name, make in LEGAL.items()]
    cheats = [(f"cheat: {name}", make, must) for name, (make, must) in CHEATS.items()]
    rows = [
        row(name, make, must, plan, range(options.seeds)) for name, make, must in legal + cheats
    ]
    print_table(rows)
    if options.csv is not None:
        write_csv(options.csv, "black-box", rows)
    return int(any(one["outcome"] == "WRONG" for one in rows))


def row(
    name: str, make: Callable[[], Evaluator], must: set[str], plan: ExaminationPlan, seeds: range
) -> Row:
    """Examine an evaluator with several seeds."""

    def ask(streams: Sequence[Ids], what: str) -> Answer:  # noqa: ARG001 - see Ask
        evaluator = make()
        return Answer([evaluator(stream) for stream in streams][-1])

    started, broken, caught = time.process_time(), Counter[str](), 0
    for seed in seeds:
        found = Examination(ask, text(), VOCAB, 1, plan, seed=seed).run()
        failed = {one.name for one in found.conditions if not one.passed}
        broken.update(failed)
        caught += bool(failed)
    right = all(broken[one] for one in must) if must else not caught
    outcome = f"caught {caught} of {len(seeds)}" if must else "passes"
    return {
        "evaluator": name,
        **{condition: f"{broken[condition]}" for condition in CONDITIONS},
        "outcome": outcome if right else "WRONG",
        "seconds": round(time.process_time() - started, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
