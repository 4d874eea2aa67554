"""The job of ``artpack.sweep``: bytes against loss, for the frontier and every other recipe."""

import csv
import io
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from artpack.api.compress import make_scorer
from artpack.api.inputs import CompressInputs
from artpack.api.opened_inputs import OpenedInputs, open_inputs
from artpack.api.scoring import FileScorer, Scoring, measured_loss
from artpack.coding.profiles import Profile, profile_named
from artpack.errors import ArtpackError, UsageError
from artpack.pack.compress import Packed
from artpack.pack.packer import Goal, Packer
from artpack.recipes import FRONTIER_RECIPE, load_recipe, recipe_names
from artpack.stages import Config, Record
from artpack.stages.progress import Progress
from artpack.system.atomic import write_atomically
from artpack.system.workers import Once, Threads, Workers, workers_for


@dataclass(frozen=True)
class CurvePoint(Record):
    """
    One file of a curve.

    Attributes:
        recipe: Name of its recipe.
        budget: Bytes that it was made for; None where the recipe alone decides.
        bytes: Its size.
        kl_nats: Mean KL divergence from the checkpoint, nats per token.
        kl_stderr: Standard error of that, where files are scored.
        bpb_increase: Bits per byte above the checkpoint, likewise.
        bpb_stderr: Standard error of that.
        tokens: Number of tokens scored, likewise.
        seconds: What it took to make.
    """

    recipe: str
    budget: int | None
    bytes: int
    kl_nats: float
    kl_stderr: float | None
    bpb_increase: float | None
    bpb_stderr: float | None
    tokens: int | None
    seconds: float


@dataclass(frozen=True)
class Curve:
    """
    Files of one checkpoint, in the order in which they were made.

    Attributes:
        points: One for each file.
        notes: What was decided on the way, and which recipes made no file, one line each.
    """

    points: tuple[CurvePoint, ...]
    notes: tuple[str, ...]

    def to_csv(self) -> str:
        """Return the points as a table, columns that are empty left out."""
        names = [
            field.name
            for field in fields(CurvePoint)
            if field.name == "budget"
            or any(getattr(p, field.name) is not None for p in self.points)
        ]
        text = io.StringIO()
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in self.points)
        return text.getvalue()

    def save(self, path: str | os.PathLike[str]) -> int:
        """Write the table, whole or not at all; return its size in bytes."""
        return write_atomically(Path(path), [self.to_csv().encode()])


def sweep(
    choice: CompressInputs,
    budgets: Sequence[int],
    *,
    scoring: Scoring | None = None,
    profile: str = "default",
    made: Callable[[CurvePoint], None] | None = None,
    progress: Progress | None = None,
) -> Curve:
    """
    Pack weights to several budgets and by every recipe, and measure what each file loses.

    Args:
        choice: Which weights, and what is known of the data.
        budgets: Sizes of files on the frontier, in bytes.
        scoring: Measure losses on these tokens; by default on calibration tokens.
        profile: How hard to look for the smallest coding.
        made: Told of each file.
        progress: Told how far a file is.

    Returns:
        The curve.

    Raises:
        CheckpointError: The weights are not usable.
        UsageError: There is nothing to measure a loss on.

    """
    files: list[tuple[str, int | None]] = [(FRONTIER_RECIPE, budget) for budget in budgets]
    files += [(name, None) for name in recipe_names() if name != FRONTIER_RECIPE]
    with open_inputs(choice, progress) as inputs:
        here = Bench(inputs, profile_named(profile), scoring, progress)
        workers = workers_for(choice.jobs)
        elsewhere = _elsewhere(choice, inputs, profile, scoring, workers)
        each = (
            (here.make(*file) for file in files)
            if elsewhere is None
            else workers.map(_make, ((elsewhere, *file) for file in files))
        )
        points, notes = _told(each, made)
    return Curve(points, (*inputs.notes, *notes))


def _told(
    each: Iterable[CurvePoint | str], made: Callable[[CurvePoint], None] | None
) -> tuple[tuple[CurvePoint, ...], tuple[str, ...]]:
    """Tell of each file as it comes; return them, and why there is no file where there is none."""
    points, notes = list[CurvePoint](), list[str]()
    for one in each:
        if isinstance(one, str):
            notes.append(one)
            continue
        points.append(one)
        if made is not None:
            made(one)
    return tuple(points), tuple(notes)


class Bench:
    """
    Makes and measures files of one checkpoint.

    Args:
        inputs: What files are made of.
        profile: How hard to look for the smallest coding.
        scoring: Measure losses on these tokens; by default on calibration tokens.
        progress: Told how far a file is.

    Raises:
        UsageError: There is nothing to measure a loss on.

    """

    def __init__(
        self,
        inputs: OpenedInputs,
        profile: Profile,
        scoring: Scoring | None,
        progress: Progress | None = None,
    ) -> None:
        self._inputs, self._profile, self._progress = inputs, profile, progress
        scorer = make_scorer(scoring, inputs, progress)
        self._judged_on = inputs.pack.data_sha256 if scorer is None else scorer.sha256
        self._measure = _measure(inputs, scorer)
        self._packers: dict[str, Packer] = {}

    def make(self, recipe: str, budget: int | None) -> CurvePoint | str:
        """
        Make a file, and measure what it loses.

        Args:
            recipe: Name of its recipe.
            budget: Bytes that it is made for; None where the recipe alone decides.

        Returns:
            The file's place on the curve, or why there is none.

        """
        started = time.monotonic()
        try:
            if recipe not in self._packers:
                spec, pack = load_recipe(recipe), self._inputs.pack
                self._packers = {recipe: Packer(pack, spec, self._profile, progress=self._progress)}
            packed = self._packers[recipe].make(Goal(budget)).packed
        except ArtpackError as error:
            return f"{recipe}: {error}"
        seconds = round(time.monotonic() - started, 2)

        def measure() -> CurvePoint:
            return CurvePoint(recipe, budget, packed.size_bytes, *self._measure(packed), seconds)

        return self._recorded(packed, {"recipe": recipe, "budget": budget}, measure)

    def _recorded(
        self, packed: Packed, asked: Config, measure: Callable[[], CurvePoint]
    ) -> CurvePoint:
        """Return what an earlier run has found of a file, or measure it."""
        run = self._inputs.pack.run_folder
        if run is None:
            return measure()
        inputs = {**asked, "file": packed.sha256, "judged_on": self._judged_on}
        with suppress(UsageError):
            return CurvePoint.from_json(run.find_json("point", inputs))
        started = time.monotonic()
        point = measure()
        seconds = point.seconds + time.monotonic() - started
        run.keep_json("point", inputs, point.to_json(), seconds=seconds)
        return point


def _elsewhere(
    choice: CompressInputs,
    inputs: OpenedInputs,
    profile: str,
    scoring: Scoring | None,
    workers: Workers,
) -> Once[tuple[Bench, ExitStack]] | None:
    """Return what makes files in another process; None where workers lack the inputs' files."""
    if isinstance(workers, Threads) or not workers.sees(_files(choice, scoring)):
        return None
    known = inputs.pack.calibration
    own = None if known is None else known.in_memory()
    choice = replace(choice, calibration=own, jobs=1, run_folder=None)
    return workers.share(Once(partial(_open_bench, choice, profile, scoring)))


def _files(choice: CompressInputs, scoring: Scoring | None) -> list[Path]:
    """List what inputs are read from; nothing if some of them are in memory."""
    source = choice.source
    named = source if isinstance(source, Sequence) and not isinstance(source, str) else [source]
    given: list[Any] = [*named, choice.calibration_tokens, choice.calibration_batches]
    given += [choice.tokenizer, choice.model]
    if scoring is not None:
        given += [scoring.tokens, scoring.tokenizer]
    given = [one for one in given if one is not None]
    paths = [Path(one) for one in given if isinstance(one, str | os.PathLike)]
    return paths if len(paths) == len(given) and choice.forward is None else []


def _open_bench(
    choice: CompressInputs, profile: str, scoring: Scoring | None
) -> tuple[Bench, ExitStack]:
    """Open inputs; they stay open as long as somebody holds what is returned."""
    held = ExitStack()
    inputs = held.enter_context(open_inputs(choice))
    return Bench(inputs, profile_named(profile), scoring), held


def _make(
    opened: Once[tuple[Bench, ExitStack]], recipe: str, budget: int | None
) -> CurvePoint | str:
    bench, _ = opened()
    return bench.make(recipe, budget)


Losses = tuple[float, float | None, float | None, float | None, int | None]
"""KL and its error, increase of bits per byte and its error, and tokens."""


def _measure(inputs: OpenedInputs, scorer: FileScorer | None) -> Callable[[Packed], Losses]:
    """Return what measures a file's losses: on scored tokens, or else on calibration tokens."""
    loss = inputs.pack.loss
    if scorer is not None:

        def scored(packed: Packed) -> Losses:
            found = scorer.compare(packed)
            kl, increase = found.kl_nats, found.bits_per_byte_increase
            tokens = found.packed.coverage.scored
            return kl.value, kl.stderr, increase.value, increase.stderr, tokens

        return scored
    if loss is None:
        raise UsageError("nothing to measure a loss on: give `calibration_tokens` or `scoring`")
    return lambda packed: (measured_loss(loss, packed), None, None, None, None)
