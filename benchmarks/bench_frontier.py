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

With ``--tune`` there is a second curve of the frontier, with scales learned for so many steps.
``frontier_*`` is what the frontier has as a share of what the row has: bytes at its KL or
at its bits per byte, KL at its bytes; by lines through logarithms, empty off the curve.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from artpack_cli.plot import draw_curves
from numpy.typing import NDArray

from artpack.artifact.reader import open_artifact
from artpack.budget.frontier import Frontier
from artpack.budget.sensitivity import measure_costs, read_costs, write_costs
from artpack.budget.tuning import tune
from artpack.checkpoint import Checkpoint, open_checkpoint
from artpack.coding.codecs import Lrzip, Zpaq
from artpack.coding.layouts import Columns, Rows, SimilarRows
from artpack.coding.profiles import FAST, Profile
from artpack.coding.symbol_coders import Bytes, Rans
from artpack.compress import compress
from artpack.evaluate.divergence import Divergence
from artpack.evaluate.forward import Settings
from artpack.plan import PlanSpec
from artpack.prepare import Prepared, prepare
from artpack.quantize import Fp16, RowInt
from artpack.quantize.calibration import Calibration, read_calibration
from artpack.quantize.clips import StdClip
from artpack.quantize.gptq import Gptq
from artpack.recipes import load_recipe
from artpack.rules import Rule
from artpack.selection import Selection, select
from artpack.stages import Config
from benchmarks.curves import share_at
from benchmarks.judge import Judge, stream_beside
from benchmarks.machine import results_path
from benchmarks.report import Row, print_table, write_csv
from benchmarks.sources import lm6m_path

MEASURED_TOKENS = 8192
TUNED_TOKENS = 131_072
FIELD_K = 12.85
FIELD_EMBEDDING_K = 14.0
ROW_SCALED_K = (8.0, FIELD_K, 20.0, 30.0)
PUBLISHED = ("pr826", "pr576", "pr1123", "pr2086")
FRONTIER_BITS = (3.3, 2.7, 2.2, 1.8, 1.4, 1.1)
TUNED_BITS = (2.2, 1.8, 1.4)

FIELD = Profile(
    "field", (Rows(), Columns(), SimilarRows()), (Rans(),), (Bytes(),), (Lrzip(), Zpaq()), 3
)
"""The codecs of published systems, each of which may be the best for a stream."""


@dataclass(frozen=True)
class Bench:
    """A checkpoint, what is known of it, and how files are scored."""

    checkpoint: Checkpoint
    selection: Selection
    calibration: Calibration
    judge: Judge
    threads: int

    def measure(
        self, method: str, setting: str, spec: PlanSpec, given: Mapping[str, Prepared], by: Profile
    ) -> Row:
        """Pack, read back and score."""
        packed = compress(self.checkpoint, self.selection, spec, prepared=given, profile=by)
        content = b"".join(packed.pieces())
        with open_artifact(content) as artifact:
            weights = {
                info.name: artifact.stored_tensor(info.name) for info in self.selection.tensors
            }
        found = self.judge.compare(weights)
        increase, kl = found.bits_per_byte_increase, found.kl_nats
        row: Row = {
            "method": method,
            "setting": setting,
            "bytes": len(content),
            "bits_per_weight": round(
                8 * len(content) / sum(w.numel() for w in weights.values()), 3
            ),
            "bpb_increase": round(increase.value, 5),
            "bpb_stderr": round(increase.stderr or 0.0, 5),
            "kl_nats": round(kl.value, 6),
            "kl_stderr": round(kl.stderr or 0.0, 6),
            "tokens": found.packed.coverage.scored,
        }
        print(*row.values(), flush=True)
        return row

    def row_scaled(
        self, by: Profile, ks: Sequence[float], *, embedding_bits: int = 6
    ) -> Iterator[Row]:
        """Measure what the field does; with 7 bits the embedding has steps of its own, as there."""
        method = f"row-scaled, int{embedding_bits} embedding, {by.name}"
        for k in ks:
            wide = k if embedding_bits == 6 else k * FIELD_EMBEDDING_K / FIELD_K
            rules = (
                _matrices("embedding", RowInt(embedding_bits, StdClip(wide)), "tok_emb"),
                _matrices("matrices", RowInt(6, StdClip(k)), ""),
                Rule("rest", Fp16()),
            )
            yield self._by_rule(method, f"k={k:g}", PlanSpec("row-scaled", "", rules), by)

    def published(self, by: Profile) -> Iterator[Row]:
        """Measure the recipes of published systems."""
        for name in PUBLISHED:
            yield self._by_rule(f"published, {by.name}", name, load_recipe(name), by)

    def frontier(
        self,
        method: str,
        spec: PlanSpec,
        bits: Sequence[float],
        *,
        calibration: Calibration,
        costs: Mapping[str, float] | None,
        tune_steps: int = 0,
    ) -> Iterator[Row]:
        """Measure what artpack does."""
        frontier = Frontier(
            self.checkpoint, self.selection, spec, calibration, costs=costs, jobs=self.threads
        )
        for rate in bits:
            given = frontier.prepare(frontier.octaves_for(rate))
            if tune_steps:
                given = self._tuned(given, tune_steps)
            yield self.measure(method, f"{rate:g} bits", spec, given, FAST)

    def _tuned(self, given: Mapping[str, Prepared], steps: int) -> dict[str, Prepared]:
        return tune(
            self.judge.model,
            self._calibration_windows(TUNED_TOKENS),
            given,
            steps=steps,
            banks=self.checkpoint.banks,
            settings=Settings(precision="bf16"),
        )

    def _calibration_windows(self, tokens: int) -> NDArray[np.int64]:
        window = self.judge.window_tokens
        ids = stream_beside(self.judge.path, "calib.bin").ids[: tokens // window * window]
        return ids.reshape(-1, window).astype(np.int64)

    def costs(self, kept: Path | None) -> Mapping[str, float]:
        """Read what tensors cost, or measure it on the first calibration tokens and keep it."""
        recipe = load_recipe("frontier")
        fingerprint: Config = {
            "weights": self.checkpoint.weights_sha256,
            "recipe": recipe.to_json(),
        }
        costs = read_costs(kept, fingerprint) if kept else None
        if costs is None:
            windows = self._calibration_windows(MEASURED_TOKENS)
            loss = Divergence(self.judge.model, windows, banks=self.checkpoint.banks)
            whole = Frontier(self.checkpoint, self.selection, recipe, self.calibration)
            costs = measure_costs(whole, loss)
            if kept:
                write_costs(kept, costs, fingerprint)
        return costs

    def _by_rule(self, method: str, setting: str, spec: PlanSpec, by: Profile) -> Row:
        given = prepare(self.checkpoint, self.selection, spec, self.calibration)
        return self.measure(method, setting, spec, given, by)


def _matrices(name: str, quantizer: RowInt, match: str) -> Rule:
    return Rule(name, quantizer, match=match, min_dims=2, min_rows=32, rounding=Gptq())


def main() -> int:
    """Run the benchmark."""
    parser = options(__doc__)
    parser.add_argument("--tune", type=int, default=0, metavar="STEPS", help="learn scales, too")
    arguments = parser.parse_args()
    if arguments.checkpoint is None:
        print("the checkpoint lm6m is not there: set ARTPACK_SHARED to the folder of shared data")
        return 1
    with open_checkpoint(arguments.checkpoint) as checkpoint:
        rows = curves(make_bench(checkpoint, arguments), arguments.costs, arguments.tune)
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "frontier", rows)
        draw(results_path(arguments.csv, "frontier").with_suffix(".svg"), rows)
    return 0


def options(about: str | None) -> argparse.ArgumentParser:
    """Return the options of a benchmark that packs and scores one checkpoint."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=lm6m_path())
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--costs", type=Path, help="where measured costs are kept")
    parser.add_argument("--tokens", type=int, help="score only the first so many")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    return parser


def make_bench(checkpoint: Checkpoint, arguments: argparse.Namespace) -> Bench:
    """Read what the options name."""
    return Bench(
        checkpoint,
        select(checkpoint),
        read_calibration(arguments.calibration),
        Judge(checkpoint, arguments.checkpoint, arguments.tokens),
        arguments.threads,
    )


def curves(bench: Bench, kept: Path | None, tune_steps: int) -> list[Row]:
    """Measure all points, and compare them with the curve of the frontier."""
    spec, known = load_recipe("frontier"), bench.calibration
    costs = bench.costs(kept)
    ours = list(bench.frontier("frontier", spec, FRONTIER_BITS, calibration=known, costs=costs))
    tuned = bench.frontier(
        f"frontier, tuned for {tune_steps} steps",
        spec,
        TUNED_BITS if tune_steps else (),
        calibration=known,
        costs=costs,
        tune_steps=tune_steps,
    )
    field = list(bench.row_scaled(FIELD, ROW_SCALED_K))
    field += bench.row_scaled(FIELD, ROW_SCALED_K, embedding_bits=7)
    field += [*bench.published(FIELD), *tuned]
    return [
        {
            **row,
            "frontier_bytes": share_at(row, ours, "kl_nats", "bytes"),
            "frontier_kl": share_at(row, ours, "bytes", "kl_nats"),
            "frontier_bytes_by_bpb": share_at(row, ours, "bpb_increase", "bytes"),
        }
        for row in (*field, *ours)
    ]


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Draw the curves."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        points.setdefault(str(row["method"]), []).append(
            (float(row["bytes"]), float(row["kl_nats"]))
        )
    draw_curves(path, points, x_label="bytes", y_label="KL, nats a token", logarithmic=True)


if __name__ == "__main__":
    sys.exit(main())
