"""
Tensors that are quantized before they are packed: with data, or by somebody else.

::

    weights, recipe, calibration ─► prepare ─► symbols, reports ─► compress

Unlike what the packer quantizes by itself, all of these symbols are in memory at once.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from artpack.calibration.file import Calibration
from artpack.checkpoint import Checkpoint, TensorInfo
from artpack.checkpoint.banks import by_layer
from artpack.checkpoint.selection import Selection
from artpack.errors import CheckpointError, UsageError
from artpack.pack.excerpts import Weights, weights_of
from artpack.pack.kept_as_is import find_exceptions
from artpack.quantize import Raw, RowAsymInt
from artpack.quantize.error_report import Report, measure
from artpack.quantize.grids.factors import GroupFactors
from artpack.quantize.grids.group_levels import GroupLevels
from artpack.quantize.grids.low_rank import LowRank
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.matrix_view import matrix_shape
from artpack.quantize.rounding.prune import prune_smallest
from artpack.quantize.rounding.row_rounding import RowRounding
from artpack.quantize.rounding.steps import RefinedSteps
from artpack.recipes.corrections import Correction, Search
from artpack.recipes.rules import Rule
from artpack.recipes.spec import PlanSpec
from artpack.stages import Quantizer
from artpack.stages.progress import Progress, counter
from artpack.stages.symbols import Quantized
from artpack.system.workers import Jobs, Threads, Workers, workers_for


@dataclass(frozen=True, eq=False)
class Prepared:
    """
    A tensor as it is to be stored.

    Attributes:
        quantizer: What gives its weights back.
        quantized: Its symbols.
        report: How far it is from the weights it was made of, if that is known.
    """

    quantizer: Quantizer
    quantized: Quantized
    report: Report | None = None


def prepare(
    checkpoint: Checkpoint,
    selection: Selection,
    spec: PlanSpec,
    calibration: Calibration | None,
    *,
    device: str = "cpu",
    jobs: Jobs = None,
    progress: Progress | None = None,
) -> dict[str, Prepared]:
    """
    Quantize those tensors that their quantizer alone cannot, and all that data is there for.

    Tensors on the frontier are left to :class:`~artpack.pack.rate_distortion.RateDistortion`.

    Args:
        checkpoint: Where the weights come from.
        selection: Which of them.
        spec: The recipe.
        calibration: What is known of the data; it must be of this checkpoint.
        device: Where GPTQ computes.
        jobs: Threads, who quantize one tensor after another; or other workers.
        progress: Told after each tensor.

    Returns:
        Name to what is to be stored; empty for a recipe that needs none of this and no
        calibration.

    Raises:
        CheckpointError: A weight is not finite, or does not fit its grid.
        UsageError: The recipe needs data and there is none.

    """
    spec, _ = find_exceptions(checkpoint, selection, spec)
    hessians = calibration.hessians if calibration else {}
    source = _Source(checkpoint, hessians, device, workers_for(jobs).one_at_a_time())
    asked = [
        (info, rule)
        for info in selection.tensors
        if (rule := _quantizing_rule(spec, info))
        if not rule.on_frontier and (rule.needs_preparing or info.name in hessians)
    ]
    with_data = [info.name for info, rule in asked if rule.needs_data]
    if with_data and calibration is None:
        raise UsageError(
            f"recipe {spec.name!r} rounds with data: give `calibration` or `calibration_tokens`"
        )
    searched = with_data or any(isinstance(rule.steps, RefinedSteps) for _, rule in asked)
    tries = spec.search.combinations() if searched else [{}]
    advance = counter("quantizing", len(tries) * sum(info.weights for info, _ in asked), progress)
    results = (
        _prepare_all(source, _changed(asked, spec.search, tried), advance) for tried in tries
    )
    best = min(results, key=_squared_error)
    if spec.correction is not None:
        layered = [name for bank in selection.banks for name in by_layer(bank)]
        rounded = {name: best[name] for name in sorted(with_data, key=_place_in(layered))}
        best |= _correct_worst(source, rounded, spec.correction)
    return best


@dataclass(frozen=True, eq=False)
class _Source:
    """Where weights and Hessians come from."""

    checkpoint: Weights
    hessians: Mapping[str, Tensor]
    device: str
    workers: Workers

    def only(self, name: str) -> "_Source":
        """Return this with what one tensor needs, to be sent; itself to threads."""
        if isinstance(self.workers, Threads):
            return self
        weights = weights_of(self.workers, self.checkpoint, name)
        known = {name: self.hessians[name]} if name in self.hessians else {}
        return _Source(weights, known, self.device, Threads(1))

    @contextmanager
    def tensor(self, name: str) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Lend a tensor and its Hessian, and name it in errors."""
        hessian = self.hessians.get(name)
        try:
            yield self.checkpoint.read(name), None if hessian is None else hessian.to(self.device)
        except UsageError as error:
            raise CheckpointError(f"tensor {name!r}: {error}") from error
        finally:
            self.checkpoint.release()


def _quantizing_rule(spec: PlanSpec, info: TensorInfo) -> Rule | None:
    """Return the tensor's rule, if it is not stored exactly as it is."""
    rule = spec.rule_of(info)
    return None if rule is None or (rule.quantizer is None and not rule.prune) else rule


def _prepare_all(
    source: _Source,
    jobs: Iterator[tuple[TensorInfo, Rule]],
    advance: Callable[[int], None],
) -> dict[str, Prepared]:
    """Quantize tensors by their rules."""
    asked = list(jobs)
    tasks = ((source.only(info.name), info.name, rule) for info, rule in asked)
    done = source.workers.map(_prepare_one, tasks, lambda n: advance(asked[n][0].weights))
    return {info.name: one for (info, _), one in zip(asked, done, strict=True)}


def _prepare_one(source: _Source, name: str, rule: Rule) -> Prepared:
    with source.tensor(name) as (weight, hessian):
        return _quantize(weight, hessian, rule)


def _changed(
    jobs: Sequence[tuple[TensorInfo, Rule]], search: Search, options: dict[str, Any]
) -> Iterator[tuple[TensorInfo, Rule]]:
    """Yield the jobs with one combination of what is searched."""
    for info, rule in jobs:
        steps = rule.steps and search.apply(rule.steps, options)
        yield info, replace(rule, rounding=search.apply(rule.rounding, options), steps=steps)


def _quantize(weight: Tensor, hessian: Tensor | None, rule: Rule) -> Prepared:
    quantizer = rule.quantizer or Raw.of(str(weight.dtype).removeprefix("torch."))
    notes: tuple[str, ...] = ()
    pruned = prune_smallest(weight, rule.prune) if rule.prune else weight
    if isinstance(quantizer, RowInt):
        rounding = RowRounding(quantizer, rule.steps, rule.rounding)
        quantized, notes = rounding.quantize(pruned, hessian)
    elif isinstance(quantizer, GroupLevels):
        quantized = quantizer.quantize(pruned, zero_scales=rule.zero_scales)
    elif isinstance(quantizer, RowAsymInt) and rule.shared_clip:
        share = quantizer.shared_clip(pruned)
        quantized = quantizer.quantize(pruned, share=share)
        notes = (f"clipped at {share:.4g} of each row's magnitudes",)
    else:
        quantized = quantizer.quantize(pruned)
    report = measure(weight, quantizer, quantized, hessian)
    return Prepared(quantizer, quantized, replace(report, notes=notes))


def _correct_worst(
    source: _Source, prepared: Mapping[str, Prepared], correction: Correction
) -> dict[str, Prepared]:
    """Return the tensors with the largest errors, the first of equals, corrected."""
    worst = sorted(prepared, key=lambda name: -_squared_norm(prepared[name]))
    corrected = {}
    for name in worst[: correction.top]:
        with source.tensor(name) as (weight, hessian):
            corrected[name] = _correct(weight, hessian, prepared[name], correction)
    return corrected


def _correct(
    weight: Tensor, hessian: Tensor | None, prepared: Prepared, correction: Correction
) -> Prepared:
    rows, cols = matrix_shape(weight.shape)
    factors, rank = correction.factors, min(correction.rank, rows, cols)
    if isinstance(factors, GroupFactors) and rank * cols % factors.group:
        factors = correction.ragged
    quantizer = LowRank(prepared.quantizer, correction.rank, factors)
    quantized = quantizer.correct(weight, prepared.quantized)
    assert prepared.report is not None
    report = measure(weight, quantizer, quantized, hessian)
    return Prepared(quantizer, quantized, replace(report, notes=prepared.report.notes))


def _place_in(names: Sequence[str]) -> Callable[[str], int]:
    """Return what orders names as these; others come after them."""
    places = {name: place for place, name in enumerate(names)}
    return lambda name: places.get(name, len(places))


def _squared_error(prepared: Mapping[str, Prepared]) -> float:
    """Return the sum over tensors of their mean squared errors, in the order of the tensors."""
    return sum(p.report.mean_squared_error for p in prepared.values() if p.report is not None)


def _squared_norm(prepared: Prepared) -> float:
    assert prepared.report is not None
    return prepared.report.mean_squared_error * math.prod(prepared.quantized.shape)
