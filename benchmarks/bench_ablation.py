"""
What each part of the frontier brings, one on top of the other, whole files of one rate.

The first rows are row-scaled GPTQ int6, coded by the field and by artpack. ``equal_bytes``
is what a method needs for the loss of the first, a bit a weight dividing the loss by four::

    python -m benchmarks.bench_ablation --calibration lm6m.calib --csv benchmarks/results
"""

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

from artpack.coding.profiles import FAST
from artpack.quantize import Lattice
from artpack.quantize.rounding.watersic import WaterSic
from artpack.recipes import load_recipe
from artpack.recipes.spec import PlanSpec
from benchmarks.bench_frontier import FIELD, FIELD_K, row_scaled
from benchmarks.rate_distortion import Bench, open_bench, options
from benchmarks.report import Row, print_table, write_csv

BITS = 1.8
"""About where the loss is that of the field."""


def main() -> int:
    """Run the benchmark."""
    parser = options(__doc__)
    parser.add_argument("--learn", type=int, default=100, metavar="STEPS", help="for so long")
    asked = parser.parse_args()
    with open_bench(asked) as bench:
        rows = list(ablation(bench, bench.sensitivities(), asked.learn))
    rows = [{**row, "equal_bytes": equal_bytes(row, float(rows[0]["kl_nats"]))} for row in rows]
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "ablation", rows)
    return 0


def ablation(
    bench: Bench, sensitivities: Mapping[str, float] | None, learning_steps: int
) -> Iterator[Row]:
    """Measure one file after each part."""
    for profile in (FIELD, FAST):
        yield from row_scaled(bench, profile, [FIELD_K])
    whole = bench.calibration
    inputs = replace(whole, output_covariances={}, row_information={}, lookup_information={})
    rows = replace(whole, output_covariances={})
    for method, states, known, measured in (
        ("steps by inputs", 1, inputs, False),
        ("+ rows by information", 1, rows, False),
        ("+ feedback among rows", 1, whole, False),
        ("+ measured sensitivities", 1, whole, True),
        ("+ trellis of 8 states", 8, whole, True),
        ("+ trellis of 64 states", 64, whole, True),
    ):
        spec = with_states(states)
        known_costs = sensitivities if measured else None
        yield from bench.frontier(
            method, spec, [BITS], calibration=known, sensitivities=known_costs
        )
    for method, spec, steps in (
        ("+ less of what is hardly worth its bits", load_recipe("frontier"), 0),
        ("+ learning while quantizing", load_recipe("frontier"), learning_steps),
    ):
        yield from bench.frontier(
            method,
            spec,
            [BITS],
            calibration=whole,
            sensitivities=sensitivities,
            tune_steps=steps,
        )


def with_states(states: int) -> PlanSpec:
    """Return the recipe on another trellis, with all weights stored whole."""
    spec = load_recipe("frontier")
    rules = tuple(
        replace(
            rule,
            quantizer=replace(rule.quantizer, states=states),
            rounding=replace(rule.rounding, bias_weight=0.0),
        )
        if isinstance(rule.quantizer, Lattice) and isinstance(rule.rounding, WaterSic)
        else rule
        for rule in spec.rules
    )
    return replace(spec, rules=rules)


def equal_bytes(row: Row, kl_nats: float) -> int:
    """Return about how many bytes a method needs for a loss."""
    weights = 8 * float(row["bytes"]) / float(row["bits_per_weight"])
    return round(float(row["bytes"]) + weights / 16 * math.log2(float(row["kl_nats"]) / kl_nats))


if __name__ == "__main__":
    sys.exit(main())
