"""Packs a checkpoint on the frontier: to a budget, to a loss, or where nothing is asked."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from artpack.calibration.collect import Windows
from artpack.calibration.file import hash_config
from artpack.errors import UsageError
from artpack.evaluate.scoring.divergence import Divergence
from artpack.evaluate.scoring.score import Comparison
from artpack.pack.budget import Fit, Trial, file_bytes, fit_bytes, fit_loss
from artpack.pack.compress import Packed
from artpack.pack.fine_tuning import tune
from artpack.pack.prepare import Prepared
from artpack.pack.rate_distortion import Frontier
from artpack.pack.sensitivities import measure_costs, read_costs, write_costs
from artpack.recipes.spec import PlanSpec

from .judge import Judge
from .material import Material
from .options.budget import Goal
from .render import tables as render

MEASURED_TOKENS = 8192
"""Calibration tokens that the cost of a tensor is measured on; a forward pass for each."""

Pack = Callable[[dict[str, Prepared]], Packed]


@dataclass(frozen=True, eq=False)
class Fitted:
    """
    A file on the frontier, and what is known of it.

    Attributes:
        fit: The file and how it was found.
        prepared: Its tensors.
        loss_nats: Divergence on calibration tokens, if they could be run.
        comparison: What it scored, if that was asked for.
    """

    fit: Fit
    prepared: dict[str, Prepared]
    loss_nats: float | None
    comparison: Comparison | None


class Fitter:
    """
    Finds files of one checkpoint along the frontier.

    Args:
        material: Checkpoint and what is known of the data.
        spec: The recipe.
        tune_steps: How many steps scales are learned for, once points are chosen.
    """

    def __init__(self, material: Material, spec: PlanSpec, tune_steps: int = 0) -> None:
        self._material, self._tune_steps = material, tune_steps
        self._frontier = _frontier(material, spec)
        if self.names and tune_steps and (material.run is None or material.windows is None):
            raise UsageError("--tune learns on tokens: give --tokens")
        self._loss: Divergence | None = None
        self.notes: tuple[str, ...] = ()
        if self.names:
            self._loss = divergence_of(material)
            costs, self.notes = _obtain_costs(material, spec, self._frontier, self._loss)
            self._frontier = _frontier(material, spec, costs)

    @property
    def names(self) -> tuple[str, ...]:
        """Which tensors lie on the frontier."""
        return tuple(self._frontier.jobs)

    @property
    def weights(self) -> int:
        """How many weights they have."""
        return self._frontier.weights

    def fit(self, pack: Pack, draft: Pack, goal: Goal, judge: Judge | None) -> Fitted:
        """Make the file that was asked for; drafts of it are nearly as small, and sooner there."""
        quantized = lru_cache(maxsize=1)(self._frontier.prepare)
        tensors: WeakKeyDictionary[Packed, dict[str, Prepared]] = WeakKeyDictionary()

        def at(octaves: float) -> Packed:
            prepared = self._tuned(quantized(octaves))
            packed = pack(prepared)
            tensors[packed] = prepared
            return packed

        if goal.file_limit is not None:
            fit = fit_bytes(
                at,
                limit_bytes=goal.file_limit,
                weights=self.weights,
                first=self._frontier.octaves_for(8 * goal.file_limit / self.weights),
                draft=lambda octaves: draft(quantized(octaves)),
            )
        elif goal.max_increase is not None:
            assert judge is not None
            first = self._frontier.default_octaves()
            fit = fit_loss(at, judge.increase, limit=goal.max_increase, first=first)
        else:
            octaves = self._frontier.default_octaves()
            packed = at(octaves)
            trial = Trial(octaves, file_bytes(packed))
            fit = Fit(packed, trial, (trial,))
        prepared = tensors[fit.packed]
        loss = None if self._loss is None else self._loss(_weights(prepared))
        comparison = None if judge is None else judge.compare(fit.packed)
        return Fitted(fit, prepared, loss, comparison)

    def _tuned(self, quantized: dict[str, Prepared]) -> dict[str, Prepared]:
        """Learn scales, if that was asked for."""
        run, windows = self._material.run, self._material.windows
        if not self._tune_steps:
            return quantized
        assert run is not None
        assert windows is not None
        unseen = np.delete(windows, _measured(windows), axis=0)
        with render.progress("learning scales") as progress:
            tuned = tune(
                run.model,
                unseen if len(unseen) else windows,
                quantized,
                steps=self._tune_steps,
                banks=self._material.selection.banks,
                settings=replace(run.settings, precision="bf16"),
                progress=progress,
            )
        return {name: self._frontier.reported(name, one) for name, one in tuned.items()}


def _weights(prepared: dict[str, Prepared]) -> dict[str, Any]:
    return {name: one.quantizer.dequantize(one.quantized) for name, one in prepared.items()}


def _frontier(
    material: Material, spec: PlanSpec, costs: dict[str, float] | None = None
) -> Frontier:
    return Frontier(
        material.source,
        material.selection,
        spec,
        material.calibration,
        costs=costs,
        jobs=material.jobs,
    )


def divergence_of(material: Material) -> Divergence | None:
    """Return what measures losses on some calibration tokens, if they can be run."""
    if material.run is None or material.windows is None:
        return None
    spread = material.windows[_measured(material.windows)]
    return Divergence(
        material.run.model,
        spread,
        banks=material.selection.banks,
        settings=replace(material.run.settings, batch_tokens=2 * spread.shape[1]),
    )


def _measured(windows: Windows) -> NDArray[np.int64]:
    """Return which windows losses are measured on, at most half of them; none is learned from."""
    count = max(1, min(len(windows) // 2, MEASURED_TOKENS // windows.shape[1]))
    spread: NDArray[np.int64] = np.arange(count) * (len(windows) // count)
    return spread


def _obtain_costs(
    material: Material, spec: PlanSpec, frontier: Frontier, loss: Divergence | None
) -> tuple[dict[str, float] | None, tuple[str, ...]]:
    """Return costs from the file beside the calibration, or measure and keep them."""
    if material.calibration is None:
        return None, ("nothing is known of the data: --tokens would make a much better file",)
    file = None if material.calibration_file is None else costs_file(material.calibration_file)
    fingerprint: dict[str, Any] = {
        "calibration": hash_config(material.calibration.fingerprint),
        "recipe": spec.to_json(),
    }
    known = None if file is None else read_costs(file, fingerprint)
    if known is not None:
        return known, (f"costs of tensors: read from {file}",)
    if loss is None:
        return None, ("costs of tensors go by formula; with --tokens they are measured",)
    with render.progress("measuring what tensors cost") as progress:
        costs = measure_costs(frontier, loss, progress=progress)
    if file is None:
        return costs, ()
    try:
        write_costs(file, costs, fingerprint)
    except OSError as error:
        return costs, (f"costs of tensors: measured, but not kept in {file}: {error.strerror}",)
    return costs, (f"costs of tensors: measured, kept in {file}",)


def costs_file(calibration: Path) -> Path:
    """Return where the costs that belong to a calibration are kept."""
    return calibration.with_name(calibration.name + ".costs.json")
