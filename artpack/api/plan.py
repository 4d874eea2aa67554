"""The job of ``artpack.plan``: what it would take to pack weights, before anything is done."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from artpack.api.compress import choose_recipe
from artpack.api.inputs import CompressInputs
from artpack.api.runnable import default_tokens
from artpack.calibration.file import Calibration
from artpack.calibration.moments import MAX_ROWS, moments_bytes
from artpack.calibration.passes import MAX_BYTES, plan_passes
from artpack.checkpoint import TensorInfo
from artpack.checkpoint.selection import select
from artpack.pack.rate_distortion import DEFAULT_BITS
from artpack.quantize.matrix_view import matrix_shape
from artpack.quantize.rounding.watersic import WaterSic
from artpack.recipes.spec import PlanSpec
from artpack.system.workers import workers_for

TRIALS = 4
"""Files that are quantized and drafted on the way to a budget, about."""


@dataclass(frozen=True)
class Costs:
    """
    Nanoseconds of one core.

    Attributes:
        run: For a token and a weight, forward and back.
        product: For a token and an element of a sum of products.
        metric: For the cube of a side of a matrix: what its errors cost.
        search: For a weight: the best path through its trellis.
        feedback: For a weight and a row or a column: errors that are made up for.
        code: For a weight: the search for a pipeline, coding, decoding.
    """

    run: float
    product: float
    metric: float
    search: float
    feedback: float
    code: float


MEASURED = Costs(run=0.045, product=0.014, metric=0.02, search=590.0, feedback=0.065, code=25.0)
"""What ``python -m benchmarks.bench_costs`` measures."""


@dataclass(frozen=True)
class Phase:
    """
    One part of the work.

    Attributes:
        name: As progress has it.
        tasks: Into how many independent tasks it is cut.
        core_hours: Of all of them.
        hours: With as many workers as there are.
        memory_bytes: Of each process, its libraries not counted.
    """

    name: str
    tasks: int
    core_hours: float
    hours: float
    memory_bytes: int


@dataclass(frozen=True)
class WorkPlan:
    """
    What it would take to pack weights.

    Attributes:
        recipe: Name of the recipe.
        weights: Number of weights.
        matrices: Number of matrices and tables among their tensors.
        tokens: Calibration tokens; 0 where no calibration is collected.
        passes: How often the model runs over them: sums of a large one do not fit at once.
        workers: Threads, or processes of the cluster.
        phases: The work, in order.
        file_bytes: The artifact, about.
        calibration_bytes: The calibration.
    """

    recipe: str
    weights: int
    matrices: int
    tokens: int
    passes: int
    workers: int
    phases: tuple[Phase, ...]
    file_bytes: int
    calibration_bytes: int

    @property
    def hours(self) -> float:
        """How long all of it takes."""
        return sum(phase.hours for phase in self.phases)

    @property
    def memory_bytes(self) -> int:
        """The most that a process needs."""
        return max(phase.memory_bytes for phase in self.phases)

    @property
    def disk_bytes(self) -> int:
        """The artifact and the calibration."""
        return self.file_bytes + self.calibration_bytes


def plan(
    inputs: CompressInputs,
    *,
    recipe: str | PlanSpec | None = None,
    overrides: Sequence[str] = (),
    budget: int | None = None,
    max_loss_increase: float | None = None,
) -> WorkPlan:
    """
    Say what packing would take; only shapes are read.

    Args:
        inputs: Which weights, what is to be known of the data, and who works.
        recipe: As for :func:`artpack.compress`.
        overrides: Likewise.
        budget: Likewise.
        max_loss_increase: Likewise.

    Returns:
        The plan, by costs of ``MEASURED``: good to a factor of two where cores are others.

    Raises:
        CheckpointError: The weights are not usable.
        RecipeError: There is no such recipe, or it is wrong.

    """
    goal = budget is not None or max_loss_increase is not None
    spec = choose_recipe(recipe, overrides, data=inputs.has_data or goal)
    workers = workers_for(inputs.jobs)
    with inputs.open() as opened:
        tensors = select(opened.checkpoint, include=inputs.include, exclude=inputs.exclude).tensors
    given = inputs.calibration
    stored = isinstance(given, str | os.PathLike) and Path(given).exists()
    collected = inputs.data.given and not stored and not isinstance(given, Calibration)
    weights = sum(info.weights for info in tensors)
    tokens = default_tokens(max(1, weights)) if collected else 0
    return plan_work(
        tensors,
        spec,
        tokens=tokens,
        budget=budget,
        trials=TRIALS if goal else 1,
        workers=workers.count,
    )


def plan_work(
    tensors: Sequence[TensorInfo],
    spec: PlanSpec,
    *,
    tokens: int,
    budget: int | None = None,
    trials: int = 1,
    workers: int = 1,
    costs: Costs = MEASURED,
) -> WorkPlan:
    """
    Say what packing tensors of certain shapes would take.

    Args:
        tensors: What is packed.
        spec: The recipe.
        tokens: Calibration tokens to run; 0 for none.
        budget: Bytes of the file; None for what the recipe makes.
        trials: Files that are made on the way to it.
        workers: How many work at a time.
        costs: Of one core.

    Returns:
        The plan.

    >>> layer = [TensorInfo(f"{n}.weight", (4096, 4096), torch.bfloat16) for n in range(32)]
    >>> found = plan_work(layer, choose_recipe("int6", data=False), tokens=0, workers=16)
    >>> [phase.name for phase in found.phases], found.weights
    (['packing'], 536870912)

    """
    weights = sum(info.weights for info in tensors)
    wide = [info for info in tensors if len(info.shape) > 1 and info.weights]
    searched = [info for info in wide if _is_searched(spec, info)]
    phases = []
    passes, sums = _sums(wide)
    if tokens:
        products = sum(_elements(info) for info in wide)
        ns = tokens * (passes * weights * costs.run + products * costs.product)
        # The model in 32 bits, sums of a pass and those of all shares so far, activations aside.
        phases.append(_phase("calibrating", 16, ns, workers, 4 * weights + 2 * sums))
    if searched:
        ns = trials * sum(_quantizing_ns(info, costs) for info in searched)
        memory = max(_quantizing_bytes(info) for info in searched)
        phases.append(_phase("quantizing", len(searched), ns, workers, memory))
    largest = max((info.weights for info in tensors), default=0)
    ns = trials * weights * costs.code
    phases.append(_phase("packing", max(1, len(wide)), ns, workers, 4 * largest))
    return WorkPlan(
        spec.name,
        weights,
        len(wide),
        tokens,
        passes if tokens else 0,
        workers,
        tuple(phases),
        budget or math.ceil(sum(_bits(spec, info) for info in tensors) / 8),
        4 * sum(_elements(info) for info in wide) if tokens else 0,
    )


def _phase(name: str, tasks: int, ns: float, workers: int, memory: int) -> Phase:
    hours = ns / 3.6e12
    return Phase(name, tasks, hours, hours / min(tasks, workers), memory)


def _is_searched(spec: PlanSpec, info: TensorInfo) -> bool:
    rule = spec.rule_of(info) if info.dtype.is_floating_point else None
    return rule is not None and isinstance(rule.rounding, WaterSic)


def _sums(wide: Sequence[TensorInfo]) -> tuple[int, int]:
    """Return how many passes a calibration takes, and the bytes of the largest one's sums."""
    places = {info.name: torch.empty(matrix_shape(info.shape), device="meta") for info in wide}
    sizes, passes = moments_bytes(places), plan_passes(places, MAX_BYTES)
    return len(passes), max(sum(sizes[name] for name in part) for part in passes)


def _elements(info: TensorInfo) -> int:
    """Return how many numbers a calibration has of a matrix, its few squares left out."""
    place = torch.empty(matrix_shape(info.shape), device="meta")
    return moments_bytes({"": place})[""] // 4


def _quantizing_ns(info: TensorInfo, costs: Costs) -> float:
    rows, cols = matrix_shape(info.shape)
    seen = _sides(rows, cols)
    each = costs.search + costs.feedback * sum(seen)
    return info.weights * each + 2 * costs.metric * sum(side**3 for side in seen)


def _quantizing_bytes(info: TensorInfo) -> int:
    """Return what a matrix takes: its sums, their factors in float64, four copies of weights."""
    rows, cols = matrix_shape(info.shape)
    return 4 * 8 * info.weights + (4 + 3 * 8) * sum(side**2 for side in _sides(rows, cols))


def _sides(rows: int, cols: int) -> tuple[int, ...]:
    """Return the sides along which errors are made up for; rows of a wide output are apart."""
    return (cols, rows) if rows <= MAX_ROWS else (cols,)


def _bits(spec: PlanSpec, info: TensorInfo) -> float:
    rule = spec.rule_of(info) if info.dtype.is_floating_point else None
    if rule is None or rule.quantizer is None:
        return 8 * info.dtype.itemsize * info.weights
    if isinstance(rule.rounding, WaterSic):
        return DEFAULT_BITS * info.weights
    parts = rule.quantizer.parts(info.shape)
    return sum(part.rows * part.cols * math.log2(part.alphabet) for part in parts)
