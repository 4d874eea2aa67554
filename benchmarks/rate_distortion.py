"""Points of rate-distortion curves: files of one checkpoint, read back and scored."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from artpack_cli.render.plot import draw_curves
from torch import Tensor

from artpack.api.inputs import CompressInputs
from artpack.api.opened_inputs import open_inputs
from artpack.api.runnable import GptModel, TransformersModel
from artpack.api.scoring import FileScorer, Scoring
from artpack.calibration.file import Calibration
from artpack.checkpoint import restore
from artpack.coding.profiles import FAST, Profile
from artpack.evaluation.scoring.score import Comparison
from artpack.pack.compress import compress
from artpack.pack.fine_tuning import fine_tune
from artpack.pack.packer import PackInputs
from artpack.pack.prepare import Prepared
from artpack.pack.rate_distortion import RateDistortion
from artpack.pack.sensitivities import obtain_sensitivities
from artpack.recipes import FRONTIER_RECIPE, load_recipe
from artpack.recipes.spec import PlanSpec
from artpack.runners.settings import Settings
from benchmarks.report import Row
from benchmarks.sources import lm6m_path


@dataclass(frozen=True)
class Bench:
    """
    A checkpoint, what is known of it, and how files are scored.

    Attributes:
        pack: The weights, and what is known of the data.
        calibration: The same as in ``pack``.
        scorer: Scores files beside the checkpoint.
    """

    pack: PackInputs
    calibration: Calibration
    scorer: FileScorer

    def score(self, method: str, setting: str, size: int, weights: Mapping[str, Tensor]) -> Row:
        """Score what came out of a file of so many bytes; print the row, too."""
        known = self.pack.checkpoint
        whole = restore(known.names, weights, known.ties, known.banks)
        return self._row(method, setting, size, self.scorer.compare_weights(whole))

    def measure(
        self, method: str, setting: str, spec: PlanSpec, given: Mapping[str, Prepared], by: Profile
    ) -> Row:
        """Pack, read back and score."""
        pack = self.pack
        packed = compress(pack.checkpoint, pack.selection, spec, prepared=given, profile=by)
        return self._row(method, setting, packed.size_bytes, self.scorer.compare(packed))

    def _row(self, method: str, setting: str, size: int, found: Comparison) -> Row:
        increase, kl = found.bits_per_byte_increase, found.kl_nats
        weights = sum(info.weights for info in self.pack.selection.tensors)
        row: Row = {
            "method": method,
            "setting": setting,
            "bytes": size,
            "bits_per_weight": round(8 * size / weights, 3),
            "bpb_increase": round(increase.value, 6),
            "bpb_stderr": round(increase.stderr or 0.0, 6),
            "kl_nats": round(kl.value, 7),
            "kl_stderr": round(kl.stderr or 0.0, 7),
            "tokens": found.packed.coverage.scored,
        }
        print(*row.values(), flush=True)
        return row

    def frontier(
        self,
        method: str,
        spec: PlanSpec,
        bits: Sequence[float],
        *,
        calibration: Calibration | None,
        sensitivities: Mapping[str, float] | None,
        tune_steps: int = 0,
    ) -> Iterator[Row]:
        """Measure what artpack does, at some rates."""
        pack = self.pack
        frontier = RateDistortion(
            pack.checkpoint,
            pack.selection,
            spec,
            calibration,
            sensitivities=sensitivities,
            jobs=pack.jobs,
        )
        for rate in bits:
            log2_step = frontier.log2_step_for(rate)
            if tune_steps:
                assert pack.objective is not None
                given = fine_tune(frontier, log2_step, pack.objective, steps=tune_steps)
            else:
                given = frontier.prepare(log2_step)
            yield self.measure(method, f"{rate:g} bits", spec, given, FAST)

    def sensitivities(self) -> Mapping[str, float] | None:
        """Read what tensors cost, or measure it on calibration tokens and keep it."""
        pack, recipe = self.pack, load_recipe(FRONTIER_RECIPE)
        whole = RateDistortion(pack.checkpoint, pack.selection, recipe, self.calibration)
        file = pack.sensitivities_file
        measured = obtain_sensitivities(
            whole, self.calibration, recipe, curvature=pack.curvature, file=file
        )
        return measured[0]


def options(about: str | None) -> argparse.ArgumentParser:
    """Return the options that say what is packed, and how it is scored."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawTextHelpFormatter
    )
    shared = lm6m_path()
    parser.add_argument("--checkpoint", type=Path, default=shared, required=shared is None)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--sensitivities", type=Path, help="where measured sensitivities are kept")
    parser.add_argument("--tokens", type=int, help="score only the first so many")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    return parser


@contextmanager
def open_bench(asked: argparse.Namespace) -> Iterator[Bench]:
    """Read what the options name; tokens and a tokenizer lie beside the checkpoint."""
    path: Path = asked.checkpoint
    choice = CompressInputs(
        source=path,
        calibration=asked.calibration,
        calibration_tokens=path.with_name("calib.bin"),
        jobs=asked.threads,
    )
    tokenizer = next(path.parent.glob("*.model"))
    with open_inputs(choice) as inputs:
        assert isinstance(inputs.model, GptModel | TransformersModel)
        assert inputs.pack.calibration is not None
        scoring = Scoring(path.with_name("val.bin"), tokenizer, asked.tokens)
        pack = replace(inputs.pack, sensitivities_file=asked.sensitivities)
        scorer = FileScorer(scoring, inputs.opened, inputs.model, Settings())
        yield Bench(pack, inputs.pack.calibration, scorer)


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Draw bytes and divergence of each method."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        points.setdefault(str(row["method"]), []).append(
            (float(row["bytes"]), float(row["kl_nats"]))
        )
    draw_curves(path, points, x_label="bytes", y_label="KL, nats per token", logarithmic=True)
