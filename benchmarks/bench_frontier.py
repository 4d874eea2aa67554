"""
Bytes and loss of the frontier against row-scaled GPTQ, whole files, on one checkpoint.

Both methods see the same calibration. Row-scaled: GPTQ in steps of ``k`` standard deviations
over 31 for every matrix, the embedding either as well or in int7 with ``k`` of 14 for each
12.85 of the others, as in the contest; streams by lrzip or a better codec. The loss is
the mean KL divergence from the checkpoint on validation tokens::

    artpack calibrate ckpt.pt -o lm6m.calib --tokens calib.bin
    python -m benchmarks.bench_frontier --calibration lm6m.calib --csv benchmarks/results
    python -m benchmarks.bench_frontier --calibration lm6m.calib --ablation
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from artpack.artifact.reader import open_artifact
from artpack.budget.frontier import Frontier
from artpack.budget.sensitivity import measure_costs, read_costs, write_costs
from artpack.checkpoint import Checkpoint, open_checkpoint
from artpack.coding.codecs import Lrzip, Zpaq
from artpack.coding.layouts import Columns, Rows, SimilarRows
from artpack.coding.profiles import FAST, Profile
from artpack.coding.symbol_coders import Bytes, Rans
from artpack.compress import compress
from artpack.evaluate.divergence import Divergence
from artpack.evaluate.stream import read_stream
from artpack.models import build
from artpack.models.find import find_model
from artpack.plan import PlanSpec
from artpack.prepare import Prepared, prepare
from artpack.quantize import Fp16, Lattice, RowInt
from artpack.quantize.calibration import Calibration, read_calibration
from artpack.quantize.clips import StdClip
from artpack.quantize.gptq import Gptq
from artpack.quantize.watersic import WaterSic
from artpack.recipes import load_recipe
from artpack.rules import Rule
from artpack.selection import Selection, select
from artpack.stages import Config
from benchmarks.report import Row, print_table, write_csv
from benchmarks.sources import lm6m_path

WINDOW_TOKENS = 512
MEASURED_WINDOWS = 16
FIELD_K = 12.85
FIELD_EMBEDDING_K = 14.0
ROW_SCALED_K = (8.0, FIELD_K, 20.0, 30.0)
FRONTIER_BITS = (3.3, 2.7, 2.2, 1.8)
ABLATION_BITS = 1.8
"""About where the loss is that of the field."""

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
    loss: Divergence
    threads: int

    def measure(
        self, method: str, setting: str, spec: PlanSpec, given: Mapping[str, Prepared], by: Profile
    ) -> Row:
        """Pack, read back and score."""
        packed = compress(self.checkpoint, self.selection, spec, prepared=given, profile=by)
        content = b"".join(packed.pieces())
        with open_artifact(content) as artifact:
            weights = artifact.load()
        row: Row = {
            "method": method,
            "setting": setting,
            "bytes": len(content),
            "bits_per_weight": round(
                8 * len(content) / sum(w.numel() for w in weights.values()), 3
            ),
            "kl_nats": round(self.loss(weights), 6),
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
            spec = PlanSpec("row-scaled", "", rules)
            given = prepare(self.checkpoint, self.selection, spec, self.calibration)
            yield self.measure(method, f"k={k:g}", spec, given, by)

    def frontier(
        self,
        method: str,
        spec: PlanSpec,
        bits: Sequence[float],
        *,
        calibration: Calibration,
        costs: Mapping[str, float] | None,
    ) -> Iterator[Row]:
        """Measure what artpack does."""
        frontier = Frontier(
            self.checkpoint, self.selection, spec, calibration, costs=costs, jobs=self.threads
        )
        for rate in bits:
            given = frontier.prepare(frontier.octaves_for(rate))
            yield self.measure(method, f"{rate:g} bits", spec, given, FAST)

    def ablation(self, costs: Mapping[str, float]) -> Iterator[Row]:
        """Measure what each part brings, one on top of the other."""
        yield from self.row_scaled(FIELD, [FIELD_K])
        yield from self.row_scaled(FAST, [FIELD_K])
        inputs = replace(self.calibration, gradients={}, row_information={}, lookup_information={})
        rows = replace(self.calibration, gradients={})
        for method, states, known, measured in (
            ("steps by inputs", 1, inputs, False),
            ("+ rows by information", 1, rows, False),
            ("+ feedback among rows", 1, self.calibration, False),
            ("+ measured costs", 1, self.calibration, True),
            ("+ trellis of 8 states", 8, self.calibration, True),
            ("+ trellis of 64 states", 64, self.calibration, True),
        ):
            yield from self.frontier(
                method,
                with_states(states),
                [ABLATION_BITS],
                calibration=known,
                costs=costs if measured else None,
            )


def _matrices(name: str, quantizer: RowInt, match: str) -> Rule:
    return Rule(name, quantizer, match=match, min_dims=2, min_rows=32, rounding=Gptq())


def with_states(states: int) -> PlanSpec:
    """Return the recipe on another trellis."""
    spec = load_recipe("frontier")
    rules = tuple(
        replace(rule, quantizer=replace(rule.quantizer, states=states))
        if isinstance(rule.quantizer, Lattice) and isinstance(rule.rounding, WaterSic)
        else rule
        for rule in spec.rules
    )
    return replace(spec, rules=rules)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=lm6m_path())
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--costs", type=Path, help="where measured costs are kept")
    parser.add_argument("--tokens", type=int, default=262_144, help="validation tokens to score")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ablation", action="store_true", help="the parts, instead of the curve")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    path = arguments.checkpoint
    if path is None:
        print("the checkpoint lm6m is not there: set ARTPACK_SHARED to the folder of shared data")
        return 1
    with open_checkpoint(path) as checkpoint:
        rows = run(checkpoint, path, arguments)
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "frontier-ablation" if arguments.ablation else "frontier", rows)
    return 0


def run(checkpoint: Checkpoint, path: Path, arguments: argparse.Namespace) -> list[Row]:
    """Measure all points, and compare the curves."""
    config = find_model({info.name: info.shape for info in checkpoint.tensors}, path).config
    assert config is not None
    model = build(config, {info.name: checkpoint.read(info.name) for info in checkpoint.tensors})
    bench = Bench(
        checkpoint,
        select(checkpoint),
        read_calibration(arguments.calibration),
        Divergence(model, windows(path.parent / "val.bin", arguments.tokens)),
        arguments.threads,
    )
    whole = Frontier(checkpoint, bench.selection, load_recipe("frontier"), bench.calibration)
    few = Divergence(model, windows(path.parent / "calib.bin", MEASURED_WINDOWS * WINDOW_TOKENS))
    recipe = load_recipe("frontier")
    fingerprint: Config = {"weights": checkpoint.weights_sha256, "recipe": recipe.to_json()}
    costs = read_costs(arguments.costs, fingerprint) if arguments.costs else None
    if costs is None:
        costs = measure_costs(whole, few)
    if arguments.costs:
        write_costs(arguments.costs, costs, fingerprint)
    if arguments.ablation:
        rows = list(bench.ablation(costs))
        return [{**row, "bytes_at_field_kl": at_loss(row, rows[0]["kl_nats"])} for row in rows]
    field = list(bench.row_scaled(FIELD, ROW_SCALED_K))
    field += bench.row_scaled(FIELD, ROW_SCALED_K, embedding_bits=7)
    ours = list(
        bench.frontier(
            "frontier",
            load_recipe("frontier"),
            FRONTIER_BITS,
            calibration=bench.calibration,
            costs=costs,
        )
    )
    return compared(field, ours) + compared(ours, ours)


def compared(rows: list[Row], curve: list[Row]) -> list[Row]:
    """Add to rows what a curve has at their loss and at their bytes, as shares of theirs."""
    sizes = np.log([float(row["bytes"]) for row in curve])
    losses = np.log([float(row["kl_nats"]) for row in curve])
    found: list[Row] = []
    for row in rows:
        size, loss = math.log(float(row["bytes"])), math.log(float(row["kl_nats"]))
        found.append(
            {
                **row,
                "frontier_bytes": round(math.exp(_line(loss, losses, sizes) - size), 3),
                "frontier_kl": round(math.exp(_line(size, sizes, losses) - loss), 3),
            }
        )
    return found


def _line(at: float, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> float:
    """Interpolate; beyond the ends, go on along the outermost pair."""
    order = np.argsort(xs)
    xs, ys = xs[order], ys[order]
    i = int(np.clip(np.searchsorted(xs, at), 1, len(xs) - 1))
    return float(ys[i - 1] + (ys[i] - ys[i - 1]) * (at - xs[i - 1]) / (xs[i] - xs[i - 1]))


def at_loss(row: Row, kl_nats: str | float) -> int:
    """Return the bytes a method needs for a loss, as a bit a weight divides the loss by four."""
    weights = 8 * float(row["bytes"]) / float(row["bits_per_weight"])
    return round(
        float(row["bytes"]) + weights / 16 * math.log2(float(row["kl_nats"]) / float(kl_nats))
    )


def windows(path: Path, tokens: int) -> NDArray[np.int64]:
    """Read the first tokens of a shard, window by window."""
    tokenizer = SentencePieceProcessor(model_file=str(path.with_name("sp1024.model")))
    ids = np.asarray(read_stream(str(path), tokenizer).ids)[
        : tokens // WINDOW_TOKENS * WINDOW_TOKENS
    ]
    return ids.reshape(-1, WINDOW_TOKENS).astype(np.int64)


if __name__ == "__main__":
    sys.exit(main())
