"""
Bytes and loss of the frontier against row-scaled GPTQ, whole files, on one checkpoint.

All methods see the same calibration. Row-scaled: GPTQ in steps of ``k`` standard deviations
over 31 for every matrix, the embedding either as well or in int7 with ``k`` of 14 for each
12.85 of the others, as in the contest; and the recipes of published systems, with GPTQ but
without the training that theirs had. Their streams go to lrzip or a better codec. Every
file is read back and scored beside the checkpoint on the same tokens::

    artpack calibrate ckpt.pt -o lm6m.calib --tokens calib.bin
    python -m benchmarks.bench_frontier --calibration lm6m.calib --csv benchmarks/results

    python -m benchmarks.bench_frontier --calibration lm6m.calib --tune 100

With ``--tune`` there is a second curve of the frontier, learned for so many steps.
``frontier_*`` is what the frontier has as a share of what the row has: bytes at its KL or
at its bits per byte, KL at its bytes; by lines through logarithms, empty off the curve.
"""

import sys
from collections.abc import Iterator, Sequence

from artpack.coding.codecs import Lrzip, Zpaq
from artpack.coding.layouts import Columns, Rows, SimilarRows
from artpack.coding.profiles import Profile
from artpack.coding.symbol_coders import Bytes, Rans
from artpack.pack.prepare import prepare
from artpack.quantize import Fp16, RowInt
from artpack.quantize.rounding.clips import StdClip
from artpack.quantize.rounding.gptq import Gptq
from artpack.recipes import load_recipe
from artpack.recipes.rules import Rule
from artpack.recipes.spec import PlanSpec
from benchmarks.curves import share_at
from benchmarks.machine import results_path
from benchmarks.rate_distortion import Bench, draw, open_bench, options
from benchmarks.report import Row, print_table, write_csv

FIELD_K = 12.85
FIELD_EMBEDDING_K = 14.0
ROW_SCALED_K = (8.0, FIELD_K, 20.0, 30.0)
PUBLISHED = ("pr826", "pr576", "pr1123", "pr2086")
FRONTIER_BITS = (3.3, 2.7, 2.2, 1.8, 1.4, 1.1)
TUNED_BITS = (2.2, 1.8, 1.4, 1.1)

FIELD = Profile(
    "field", (Rows(), Columns(), SimilarRows()), (Rans(),), (Bytes(),), (Lrzip(), Zpaq()), 3
)
"""The codecs of published systems, each of which may be the best for a stream."""


def main() -> int:
    """Run the benchmark."""
    parser = options(__doc__)
    parser.add_argument("--tune", type=int, default=0, metavar="STEPS", help="learn, too")
    asked = parser.parse_args()
    with open_bench(asked) as bench:
        rows = curves(bench, asked.tune)
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "frontier", rows)
        draw(results_path(asked.csv, "frontier").with_suffix(".svg"), rows)
    return 0


def curves(bench: Bench, tune_steps: int) -> list[Row]:
    """Measure all points, and compare them with the curve of the frontier."""
    spec, known = load_recipe("frontier"), bench.calibration
    sensitivities = bench.sensitivities()
    ours = list(
        bench.frontier(
            "frontier", spec, FRONTIER_BITS, calibration=known, sensitivities=sensitivities
        )
    )
    tuned = bench.frontier(
        f"frontier, tuned for {tune_steps} steps",
        spec,
        TUNED_BITS if tune_steps else (),
        calibration=known,
        sensitivities=sensitivities,
        tune_steps=tune_steps,
    )
    others = [
        *row_scaled(bench, FIELD, ROW_SCALED_K),
        *row_scaled(bench, FIELD, ROW_SCALED_K, embedding_bits=7),
        *published(bench, FIELD),
        *tuned,
    ]
    return [
        {
            **row,
            "frontier_bytes": share_at(row, ours, "kl_nats", "bytes"),
            "frontier_kl": share_at(row, ours, "bytes", "kl_nats"),
            "frontier_bytes_by_bpb": share_at(row, ours, "bpb_increase", "bytes"),
        }
        for row in (*others, *ours)
    ]


def row_scaled(
    bench: Bench, by: Profile, ks: Sequence[float], *, embedding_bits: int = 6
) -> Iterator[Row]:
    """Measure what the field does; with 7 bits the embedding has steps of its own, as there."""
    method = f"row-scaled, int{embedding_bits} embedding, {by.name}"
    for k in ks:
        wide = k if embedding_bits == 6 else k * FIELD_EMBEDDING_K / FIELD_K
        rules = (
            _matrices("embedding", RowInt(embedding_bits, StdClip(wide)), "tok_emb"),
            _matrices("matrices", RowInt(6, StdClip(k)), ""),
            Rule(name="rest", quantizer=Fp16()),
        )
        yield _by_rule(bench, method, f"k={k:g}", PlanSpec("row-scaled", "", rules), by)


def published(bench: Bench, by: Profile) -> Iterator[Row]:
    """Measure the recipes of published systems."""
    for name in PUBLISHED:
        yield _by_rule(bench, f"published, {by.name}", name, load_recipe(name), by)


def _matrices(name: str, quantizer: RowInt, match: str) -> Rule:
    return Rule(
        name=name, quantizer=quantizer, match=match, min_dims=2, min_rows=32, rounding=Gptq()
    )


def _by_rule(bench: Bench, method: str, setting: str, spec: PlanSpec, by: Profile) -> Row:
    given = prepare(bench.pack.checkpoint, bench.pack.selection, spec, bench.calibration)
    return bench.measure(method, setting, spec, given, by)


if __name__ == "__main__":
    sys.exit(main())
