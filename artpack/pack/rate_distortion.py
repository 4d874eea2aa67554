"""
All tensors of a checkpoint on one curve of size and loss, with one number to move along it.

::

    weights, calibration, sensitivities ─► RateDistortion ─► prepare(log2_step) ─► symbols

The number is the logarithm of a constant c: a weight of any tensor may cost the loss
``c² / 24`` nats per token. What the formulas say a tensor costs is off by a factor that is
much the same everywhere; where sensitivities were measured, those are used instead.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeVar

from torch import Tensor

from artpack.calibration.file import Calibration
from artpack.checkpoint import Checkpoint, TensorInfo
from artpack.checkpoint.selection import Selection
from artpack.errors import CheckpointError, UsageError
from artpack.pack.excerpts import Weights, calibration_of, weights_of
from artpack.pack.expected_bits import NOTHING, Rate, sizes_of
from artpack.pack.kept_as_is import find_exceptions
from artpack.pack.prepare import Prepared
from artpack.pack.tied_table import join_roles
from artpack.quantize.bound import bound_bits
from artpack.quantize.error_report import Report, measure
from artpack.quantize.grids.lattice import Lattice
from artpack.quantize.matrix_view import finite_matrix, matrix_shape
from artpack.quantize.rounding.column_sweep import ColumnSweep
from artpack.quantize.rounding.watersic import Metric, WaterSic, solve, widen
from artpack.recipes.spec import PlanSpec
from artpack.stages.progress import Progress, counter
from artpack.stages.trellis import spacing
from artpack.system.threads import one_thread
from artpack.system.workers import Finished, Jobs, Threads, workers_for

T = TypeVar("T")

DEFAULT_LOSS_NATS = 0.005
"""What a file may cost where neither bytes nor a loss are asked for: less than int6 by GPTQ."""

DEFAULT_BITS = 4.0
"""Bits per weight in the same case, where nothing is known of losses."""

SCALE_BITS = 4.0
"""What the scale of a row or column takes, about."""

TYPICAL_REPORT = Report(1e-5, 0.15, 0.0, 0.0, 0, 1e-2, 3.0)
"""What stands for a report before there is one; reports differ in length by a byte or two."""

SPREAD_LOG2 = 2.0
"""Without data, how much larger or smaller than most the weights of a tensor may be and have
the same steps."""


@dataclass(frozen=True)
class Job:
    """
    A tensor that is quantized by data.

    Attributes:
        info: The tensor.
        lattice: What it is stored as.
        method: How it gets there.
    """

    info: TensorInfo
    lattice: Lattice
    method: WaterSic


class RateDistortion:
    """
    Quantizes the tensors that a recipe wants on lattices.

    Args:
        checkpoint: Where the weights come from.
        selection: Which of them.
        spec: The recipe.
        calibration: What is known of the data; None if nothing is.
        sensitivities: Nats per token that a tensor costs for a squared step of 1, by name:
            what :func:`~artpack.pack.sensitivities.measure_sensitivities` found. Other tensors
            go by formula.
        jobs: Threads, None for one a core; or other workers, who quantize.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        selection: Selection,
        spec: PlanSpec,
        calibration: Calibration | None,
        *,
        sensitivities: Mapping[str, float] | None = None,
        jobs: Jobs = None,
    ) -> None:
        spec, _ = find_exceptions(checkpoint, selection, spec)
        self._checkpoint: Weights = checkpoint
        self._selection, self._spec = selection, spec
        self._calibration = calibration
        self._sensitivities = sensitivities or {}
        self._workers = workers_for(jobs)
        self._threads = self._workers if isinstance(self._workers, Threads) else Threads()
        self._own_rates: dict[str, Rate] = {}
        self._rates: dict[str, Rate] = {}
        self.jobs = {job.info.name: job for job in _jobs(selection, spec)}

    @property
    def unseen(self) -> tuple[str, ...]:
        """Tensors that the calibration knows nothing of; none where there is no calibration."""
        if self._calibration is None:
            return ()
        return tuple(name for name in self.jobs if not self._is_known(name))

    @property
    def weights(self) -> int:
        """How many weights its tensors have."""
        return sum(job.info.weights for job in self.jobs.values())

    @cached_property
    def bits_beside(self) -> float:
        """About how many bits a file has besides the codes on lattices, the header not counted."""
        return sum(map(self._bits_beside, self._selection.tensors))

    def _bits_beside(self, info: TensorInfo) -> float:
        if info.name in self.jobs:
            return SCALE_BITS * sum(matrix_shape(info.shape))
        rule = self._spec.rule_of(info) if info.dtype.is_floating_point else None
        if rule is None or rule.quantizer is None:
            return 8 * info.dtype.itemsize * info.weights
        parts = rule.quantizer.parts(info.shape)
        return sum(part.rows * part.cols * math.log2(part.alphabet) for part in parts)

    def default_log2_step(self) -> float:
        """
        Return where a file is good enough for most, if nothing is asked of it.

        Returns:
            Logarithm of c to base 2: for ``DEFAULT_LOSS_NATS`` a token, or without data
            for ``DEFAULT_BITS`` a weight.

        """
        if self._calibration is None:
            return self.log2_step_for(DEFAULT_BITS)
        return math.log2(24 * DEFAULT_LOSS_NATS / self.weights) / 2

    def prepare(self, log2_step: float, *, progress: Progress | None = None) -> dict[str, Prepared]:
        """
        Quantize all tensors.

        Args:
            log2_step: Logarithm of c to base 2.
            progress: Told after each tensor how many weights are done.

        Returns:
            Name to symbols. They do not depend on the number of threads.

        Raises:
            CheckpointError: A weight is not finite.

        """
        advance = counter("quantizing", self.weights, progress)
        self._measure_rates()
        names = self._by_size(self.jobs)
        quantize = partial(RateDistortion.quantize, log2_step=log2_step)
        done = self._by_workers(
            quantize, names, lambda n: advance(self.jobs[names[n]].info.weights)
        )
        return {name: done[name] for name in self.jobs}

    def errors(self, log2_step: float) -> dict[str, Tensor]:
        """
        Quantize all tensors whole, and say how far they are from their weights.

        Args:
            log2_step: Logarithm of c to base 2.

        Returns:
            Name to error, bfloat16, of the tensor's shape. The symbols are not kept.

        Raises:
            CheckpointError: A weight is not finite.

        """
        whole = copy(self)
        whole.jobs = {
            name: replace(job, method=replace(job.method, bias_weight=0.0))
            for name, job in self.jobs.items()
        }
        with one_thread():
            return self._for_all(partial(whole.error, log2_step=log2_step), self.jobs)

    def _for_all(self, function: Callable[[str], T], tensors: Iterable[str]) -> dict[str, T]:
        """Apply a function to tensors in threads, the largest first: so none is idle for long."""
        given = list(tensors)
        names = self._by_size(given)
        done = self._threads.map(function, [(name,) for name in names])
        results = dict(zip(names, done, strict=True))
        return {name: results[name] for name in given}

    def _by_size(self, tensors: Iterable[str]) -> list[str]:
        return sorted(tensors, key=lambda name: -self.jobs[name].info.weights)

    def _by_workers(
        self,
        function: Callable[["RateDistortion", str], T],
        names: list[str],
        finished: Finished | None = None,
    ) -> dict[str, T]:
        """Apply a pure function to tensors, each with what is known of it."""
        tasks = ((self._only(name), name) for name in names)
        with one_thread():
            return dict(zip(names, self._workers.map(function, tasks, finished), strict=True))

    def _only(self, name: str) -> "RateDistortion":
        """Return this with what one tensor needs, to be sent; itself to threads."""
        if isinstance(self._workers, Threads):
            return self
        one = copy(self)
        vars(one).update(
            jobs={name: self.jobs[name]},
            _checkpoint=weights_of(self._workers, self._checkpoint, name),
            _calibration=calibration_of(self._workers, self._calibration, name),
            _rates={name: self._rate(name)} if name in self._own_rates else {},
            _own_rates={},
            _workers=Threads(1),
            _threads=Threads(1),
        )
        return one

    def error(self, name: str, log2_step: float) -> Tensor:
        """
        Quantize one tensor, and say how far it is from its weights.

        Args:
            name: One of ``jobs``.
            log2_step: Logarithm of c to base 2.

        Returns:
            The error, bfloat16, of the tensor's shape.

        Raises:
            CheckpointError: A weight is not finite.

        """
        prepared = self.quantize(name, log2_step)
        rounded = prepared.quantizer.dequantize(prepared.quantized)
        return (rounded.float() - self._checkpoint.read(name).float()).bfloat16()

    def quantize(self, name: str, log2_step: float) -> Prepared:
        """
        Quantize one tensor.

        Args:
            name: One of ``jobs``.
            log2_step: Logarithm of c to base 2.

        Returns:
            Its symbols, without a report.

        Raises:
            CheckpointError: A weight is not finite.

        """
        with one_thread(), _naming(name):
            weight, metric, log2_step, lattice = self._problem(name, log2_step)
            quantized = solve(weight, metric, log2_step, lattice)
        return Prepared(lattice, quantized)

    def _problem(self, name: str, log2_step: float) -> tuple[Tensor, Metric, float, Lattice]:
        """Return a target, what its errors cost, its mean step and its lattice."""
        lattice, method = self.jobs[name].lattice, self.jobs[name].method
        weight, metric = self._checkpoint.read(name), self.metric(name)
        log2_step += self.offset(name) - metric.log2_step
        if weight.numel() and method.bias_weight and self._hessian(name) is not None:
            weight, metric = method.adapted(weight, *self._moments(name), log2_step)
        # Points of a trellis lie twice as far apart as the steps are wide.
        log2_step += metric.log2_step - math.log2(spacing(lattice.states))
        return weight, metric, log2_step, widen(weight, metric, log2_step, lattice)

    def sweeps(self, log2_step: float) -> dict[str, ColumnSweep]:
        """
        Begin to quantize all tensors that are not empty.

        Args:
            log2_step: Logarithm of c to base 2.

        Returns:
            Name to sweep. Each keeps its metric, as large as the calibration, in float64.

        Raises:
            CheckpointError: A weight is not finite.

        """

        def begin(name: str) -> ColumnSweep:
            with _naming(name):
                return ColumnSweep(*self._problem(name, log2_step))

        with one_thread():
            return self._for_all(begin, [n for n in self.jobs if self.jobs[n].info.weights])

    def quantize_columns(self, sweeps: Mapping[str, ColumnSweep], free: float) -> None:
        """
        Go on with quantizing all tensors.

        Args:
            sweeps: What :meth:`sweeps` returned.
            free: Share of the columns of each that is to be left, at most as large as before.

        """

        def go_on(name: str) -> None:
            cols = matrix_shape(self.jobs[name].info.shape)[1]
            sweeps[name].quantize(int(free * cols))

        with one_thread():
            self._for_all(go_on, sweeps)

    def reported(self, prepared: Mapping[str, Prepared]) -> dict[str, Prepared]:
        """
        Measure how far tensors are from their weights, and from what theory allows.

        Args:
            prepared: Name to symbols.

        Returns:
            The same with a report where the calibration knows the tensor.

        """
        tasks = ((self._only(name), name, one) for name, one in prepared.items())
        done = self._workers.map(RateDistortion.report, tasks)
        return {
            name: replace(one, report=report)
            for (name, one), report in zip(prepared.items(), done, strict=True)
        }

    def report(self, name: str, prepared: Prepared) -> Report | None:
        """
        Measure how far a tensor is from its weights.

        Args:
            name: One of ``jobs``.
            prepared: Its symbols.

        Returns:
            Its error, and the bits that theory allows for it; None where the calibration
            does not know the tensor.

        """
        hessian = self._hessian(name)
        if hessian is None:
            return None
        with one_thread():
            weight, grid = self._checkpoint.read(name), prepared.quantizer
            report = measure(weight, grid, prepared.quantized, hessian)
            back = grid.dequantize(prepared.quantized)
            return replace(report, bound_bits=bound_bits(weight, back, self.metric(name)))

    def foreseen(self, prepared: Mapping[str, Prepared]) -> dict[str, Prepared]:
        """
        Give tensors reports as long as those that they will have.

        Args:
            prepared: Name to symbols.

        Returns:
            The same, for telling the size of a file.

        """
        return {
            name: one if self._hessian(name) is None else replace(one, report=TYPICAL_REPORT)
            for name, one in prepared.items()
        }

    def offset(self, name: str) -> float:
        """
        Return how much larger a tensor's steps are than c.

        Args:
            name: One of ``jobs``.

        Returns:
            Logarithm to base 2 of the geometric mean of its steps over c.

        """
        return self._rate(name).offset

    def bits(self, log2_step: float) -> float:
        """
        Estimate how many bits the codes will take, to a few hundredths.

        Args:
            log2_step: Logarithm of c to base 2.

        Returns:
            Bits of all tensors together, scales not counted.

        """
        return sum(self._rate(name).bits(log2_step) for name in self.jobs)

    def bits_slope(self, log2_step: float) -> float:
        """
        Estimate how the bits of all codes change with the step.

        Args:
            log2_step: Logarithm of c to base 2.

        Returns:
            Bits for each unit of the logarithm, below 0: where steps are fine, as many as
            there are weights.

        """
        span = 0.5
        return (self.bits(log2_step + span) - self.bits(log2_step - span)) / (2 * span)

    def log2_step_for(self, bits_per_weight: float) -> float:
        """
        Return where the estimated rate is what is asked for.

        Args:
            bits_per_weight: Above 0.

        Returns:
            Logarithm of c to base 2, to a hundredth.

        """
        wanted = bits_per_weight * self.weights
        low, high = -64.0, 64.0
        while high - low > 0.01:
            middle = (low + high) / 2
            low, high = (middle, high) if self.bits(middle) > wanted else (low, middle)
        return (low + high) / 2

    def metric(self, name: str) -> Metric:
        """
        Return what errors of a tensor cost.

        Args:
            name: One of ``jobs``.

        Returns:
            The metric, not yet scaled by measured sensitivities.

        Raises:
            CheckpointError: The calibration of the tensor cannot be true.

        """
        with _naming(name):
            return self._metric(name)

    def _metric(self, name: str) -> Metric:
        job = self.jobs[name]
        return job.method.metric(matrix_shape(job.info.shape), *self._moments(name))

    def _moments(self, name: str) -> tuple[Tensor | None, Tensor | None]:
        """Return what is known of a tensor's inputs, and of the gradients at its outputs."""
        hessian = self._hessian(name)
        if self._calibration is None or hessian is None:
            # A table that is only looked up: a row counts by what comes back to it.
            return None, self._lookups(name)
        output_covariances = self._calibration.output_covariances.get(name)
        rows = self._calibration.row_information.get(name)
        lookups = self._calibration.lookup_information.get(name)
        if lookups is not None and rows is not None:
            return join_roles(hessian, rows, lookups)
        return hessian, rows if output_covariances is None else output_covariances

    def _rate(self, name: str) -> Rate:
        if name not in self._rates:
            self._measure_rates()
            own = self._own_rates[name]
            self._rates[name] = replace(own, offset=self._offset(name, own))
        return self._rates[name]

    def _measure_rates(self) -> None:
        """Measure all tensors that were not yet."""
        names = self._by_size(self.jobs.keys() - self._own_rates.keys() - self._rates.keys())
        self._own_rates |= self._by_workers(RateDistortion.own_rate, names)

    def own_rate(self, name: str) -> Rate:
        """
        Measure a tensor by itself.

        Args:
            name: One of ``jobs``.

        Returns:
            Its rate; the offset is what its metric alone says.

        Raises:
            CheckpointError: A weight is not finite, or the calibration cannot be true.

        """
        metric = self.metric(name)
        with _naming(name):
            sizes = sizes_of(finite_matrix(self._checkpoint.read(name)))
        # The metric itself has as many numbers as the Hessian: it is made again when needed.
        shaped = metric.rows is not None or metric.cols is not None
        known = self._hessian(name) is not None
        return Rate(
            sizes,
            metric.row_log2_steps,
            metric.col_log2_steps,
            metric.log2_step,
            shaped,
            self.jobs[name].method.bias_weight if known else 0.0,
        )

    def _offset(self, name: str, own: Rate) -> float:
        if name in self._sensitivities:
            return math.log2(self.jobs[name].info.weights / (24 * self._sensitivities[name])) / 2
        if self._is_known(name):
            return own.offset
        overall = own.sizes.overall
        if self._relative is not None:
            return overall + self._relative
        # Without data one step for all is best, until small tensors would be lost in it.
        return overall - min(max(overall - self._typical, -SPREAD_LOG2), SPREAD_LOG2)

    @cached_property
    def _relative(self) -> float | None:
        """How much larger steps are than weights where something is known of a tensor."""
        known = [self._rate(name) for name in self.jobs if self._is_known(name)]
        if not known:
            return None
        return sum(rate.offset - rate.sizes.overall for rate in known) / len(known)

    @cached_property
    def _typical(self) -> float:
        """Logarithm of the size of weights, the mean over all but tensors of zeros."""
        sizes = (
            (job.info.weights, self._own_rates[name].sizes.overall)
            for name, job in self.jobs.items()
        )
        counted = [(weights, size) for weights, size in sizes if size > NOTHING]
        return sum(weights * size for weights, size in counted) / max(1, sum(n for n, _ in counted))

    def _is_known(self, name: str) -> bool:
        return self._hessian(name) is not None or self._lookups(name) is not None

    def _lookups(self, name: str) -> Tensor | None:
        return None if self._calibration is None else self._calibration.lookup_information.get(name)

    def _hessian(self, name: str) -> Tensor | None:
        return None if self._calibration is None else self._calibration.hessians.get(name)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say in errors which tensor is at fault."""
    try:
        yield
    except UsageError as error:
        raise CheckpointError(f"tensor {name!r}: {error}") from error


def _jobs(selection: Selection, spec: PlanSpec) -> Iterator[Job]:
    for info in selection.tensors:
        rule = spec.rule_of(info)
        if rule is not None and isinstance(rule.rounding, WaterSic):
            assert isinstance(rule.quantizer, Lattice)
            yield Job(info, rule.quantizer, rule.rounding)
