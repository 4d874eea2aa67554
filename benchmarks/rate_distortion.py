"""Points of rate-distortion curves: files of one checkpoint, read back and scored."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from artpack_cli.render.plot import draw_curves
from numpy.typing import NDArray
from torch import Tensor

from artpack.artifact.reader import open_artifact
from artpack.calibration.file import Calibration, hash_config, read_calibration
from artpack.checkpoint import Checkpoint
from artpack.checkpoint.selection import Selection, select
from artpack.coding.profiles import FAST, Profile
from artpack.pack.compress import compress
from artpack.pack.fine_tuning import tune
from artpack.pack.prepare import Prepared
from artpack.pack.rate_distortion import Frontier
from artpack.pack.sensitivities import measure_costs, read_costs, write_costs
from artpack.recipes import load_recipe
from artpack.recipes.spec import PlanSpec
from artpack.runners.distillation import Distillation
from artpack.runners.divergence import Divergence
from artpack.runners.gpt import GptRunner
from artpack.runners.settings import Settings
from artpack.stages import Config
from benchmarks.judge import Judge, stream_beside
from benchmarks.report import Row
from benchmarks.sources import lm6m_path

MEASURED_TOKENS = 8192
TUNED_TOKENS = 131_072


@dataclass(frozen=True)
class Bench:
    """
    A checkpoint, what is known of it, and how files are scored.

    Attributes:
        checkpoint: The weights.
        selection: All of them.
        calibration: What is known of the data.
        judge: Scores weights beside the checkpoint.
        threads: How many the frontier may use.
    """

    checkpoint: Checkpoint
    selection: Selection
    calibration: Calibration
    judge: Judge
    threads: int

    def score(self, method: str, setting: str, size: int, weights: Mapping[str, Tensor]) -> Row:
        """Score what came out of a file of so many bytes; print the row, too."""
        found = self.judge.compare(weights)
        increase, kl = found.bits_per_byte_increase, found.kl_nats
        row: Row = {
            "method": method,
            "setting": setting,
            "bytes": size,
            "bits_per_weight": round(8 * size / sum(w.numel() for w in weights.values()), 3),
            "bpb_increase": round(increase.value, 6),
            "bpb_stderr": round(increase.stderr or 0.0, 6),
            "kl_nats": round(kl.value, 7),
            "kl_stderr": round(kl.stderr or 0.0, 7),
            "tokens": found.packed.coverage.scored,
        }
        print(*row.values(), flush=True)
        return row

    def measure(
        self, method: str, setting: str, spec: PlanSpec, given: Mapping[str, Prepared], by: Profile
    ) -> Row:
        """Pack, read back and score."""
        packed = compress(self.checkpoint, self.selection, spec, prepared=given, profile=by)
        content = packed.content()
        with open_artifact(content) as artifact:
            weights = {
                info.name: artifact.stored_tensor(info.name) for info in self.selection.tensors
            }
        return self.score(method, setting, len(content), weights)

    def frontier(
        self,
        method: str,
        spec: PlanSpec,
        bits: Sequence[float],
        *,
        calibration: Calibration | None,
        costs: Mapping[str, float] | None,
        tune_steps: int = 0,
    ) -> Iterator[Row]:
        """Measure what artpack does, at some rates."""
        frontier = Frontier(
            self.checkpoint, self.selection, spec, calibration, costs=costs, jobs=self.threads
        )
        for rate in bits:
            given = frontier.prepare(frontier.octaves_for(rate))
            if tune_steps:
                given = self._tuned(given, tune_steps)
            yield self.measure(method, f"{rate:g} bits", spec, given, FAST)

    def costs(self, kept: Path | None) -> Mapping[str, float]:
        """Read what tensors cost, or measure it on the first calibration tokens and keep it."""
        recipe = load_recipe("frontier")
        fingerprint: Config = {
            "calibration": hash_config(self.calibration.fingerprint),
            "recipe": recipe.to_json(),
        }
        costs = read_costs(kept, fingerprint) if kept else None
        if costs is None:
            windows = self._calibration_windows(MEASURED_TOKENS)
            loss = Divergence(GptRunner(self.judge.model), windows, banks=self.checkpoint.banks)
            whole = Frontier(self.checkpoint, self.selection, recipe, self.calibration)
            costs = measure_costs(whole, loss)
            if kept:
                write_costs(kept, costs, fingerprint)
        return costs

    def _tuned(self, given: Mapping[str, Prepared], steps: int) -> dict[str, Prepared]:
        objective = Distillation(
            GptRunner(self.judge.model),
            self._calibration_windows(TUNED_TOKENS),
            banks=self.checkpoint.banks,
            settings=Settings(precision="bf16"),
        )
        return tune(given, objective, steps=steps)

    def _calibration_windows(self, tokens: int) -> NDArray[np.int64]:
        window = self.judge.window_tokens
        ids = stream_beside(self.judge.path, "calib.bin").ids[:tokens]
        return ids[: len(ids) // window * window].reshape(-1, window).astype(np.int64)


def options(about: str | None) -> argparse.ArgumentParser:
    """Return the options that say what is packed, and how it is scored."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawTextHelpFormatter
    )
    shared = lm6m_path()
    parser.add_argument("--checkpoint", type=Path, default=shared, required=shared is None)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--costs", type=Path, help="where measured costs are kept")
    parser.add_argument("--tokens", type=int, help="score only the first so many")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    return parser


def make_bench(checkpoint: Checkpoint, asked: argparse.Namespace) -> Bench:
    """Read what the options name."""
    return Bench(
        checkpoint,
        select(checkpoint),
        read_calibration(asked.calibration),
        Judge(checkpoint, asked.checkpoint, asked.tokens),
        asked.threads,
    )


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Draw bytes and divergence of each method."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        points.setdefault(str(row["method"]), []).append(
            (float(row["bytes"]), float(row["kl_nats"]))
        )
    draw_curves(path, points, x_label="bytes", y_label="KL, nats a token", logarithmic=True)
