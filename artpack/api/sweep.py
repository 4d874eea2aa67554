"""The job of ``artpack.sweep``: bytes against loss, for the frontier and every other recipe."""

import csv
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from artpack.api.compress import make_scorer
from artpack.api.inputs import CompressInputs
from artpack.api.opened_inputs import OpenedInputs, open_inputs
from artpack.api.scoring import Scoring, measured_loss
from artpack.coding.profiles import Profile, profile_named
from artpack.errors import ArtpackError, UsageError
from artpack.pack.compress import Packed
from artpack.pack.packer import Goal, Packer
from artpack.recipes import FRONTIER_RECIPE, load_recipe, recipe_names
from artpack.stages.progress import Progress
from artpack.system.atomic import write_atomically


@dataclass(frozen=True)
class CurvePoint:
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
    points: list[CurvePoint] = []
    notes: list[str] = []
    with open_inputs(choice, progress) as inputs:
        measure = _measure(inputs, scoring, progress)
        for recipe, budget, packer in _files(inputs, budgets, profile_named(profile), progress):
            started = time.monotonic()
            try:
                packed = packer.make(Goal(budget)).packed
            except ArtpackError as error:
                notes.append(f"{recipe}: {error}")
                continue
            seconds = round(time.monotonic() - started, 2)
            points.append(CurvePoint(recipe, budget, packed.size_bytes, *measure(packed), seconds))
            if made is not None:
                made(points[-1])
    return Curve(tuple(points), (*inputs.notes, *notes))


Losses = tuple[float, float | None, float | None, float | None, int | None]
"""KL and its error, increase of bits per byte and its error, and tokens."""


def _measure(
    inputs: OpenedInputs, scoring: Scoring | None, progress: Progress | None
) -> Callable[[Packed], Losses]:
    """Return what measures a file's losses: on scored tokens, or else on calibration tokens."""
    scorer, loss = make_scorer(scoring, inputs, progress), inputs.pack.loss
    if scorer is not None:
        judge = scorer

        def scored(packed: Packed) -> Losses:
            found = judge.compare(packed)
            kl, increase = found.kl_nats, found.bits_per_byte_increase
            tokens = found.packed.coverage.scored
            return kl.value, kl.stderr, increase.value, increase.stderr, tokens

        return scored
    if loss is None:
        raise UsageError("nothing to measure a loss on: give `calibration_tokens` or `scoring`")
    return lambda packed: (measured_loss(loss, packed), None, None, None, None)


def _files(
    inputs: OpenedInputs, budgets: Sequence[int], profile: Profile, progress: Progress | None
) -> Iterator[tuple[str, int | None, Packer]]:
    frontier = Packer(inputs.pack, load_recipe(FRONTIER_RECIPE), profile, progress=progress)
    yield from ((FRONTIER_RECIPE, budget, frontier) for budget in budgets)
    for name in recipe_names():
        if name != FRONTIER_RECIPE:
            yield name, None, Packer(inputs.pack, load_recipe(name), profile, progress=progress)
