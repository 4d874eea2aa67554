"""Files of one checkpoint by one recipe: to a budget, to a loss, or as the recipe has it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

from torch import Tensor

from artpack.artifact.carried import PackedFiles
from artpack.artifact.describe import role_of
from artpack.artifact.plan import StreamPlan
from artpack.calibration.file import Calibration
from artpack.checkpoint import Checkpoint
from artpack.checkpoint.selection import Selection
from artpack.coding.profiles import Profile
from artpack.coding.symbol_coders import ClassedRans
from artpack.errors import BudgetError, UsageError
from artpack.pack.budget import Fit, Trial, fit_bytes, fit_loss
from artpack.pack.compress import Packed, compress, expected_size
from artpack.pack.fine_tuning import LEARNING_RATE, fine_tune, training_rate
from artpack.pack.identity import identity
from artpack.pack.kept_as_is import find_exceptions
from artpack.pack.learning import Objective
from artpack.pack.origin import Options, Outcome, rounded
from artpack.pack.prepare import Prepared, prepare
from artpack.pack.rate_distortion import RateDistortion
from artpack.pack.search_record import UNRECORDED, SearchRecord
from artpack.pack.sensitivities import Curvature, Loss, obtain_sensitivities
from artpack.portable.bundle import make_bundle
from artpack.recipes.spec import PlanSpec
from artpack.stages import Config
from artpack.stages.progress import Progress
from artpack.system.run_folder import RunFolder
from artpack.system.workers import Jobs

MIN_BITS = 0.05
"""Bits a weight that a search begins with at least, however small the budget."""

DECODER_BYTES = 12_000
"""What a decoder takes, about, before there is a file to write one for."""


@dataclass(frozen=True)
class Goal:
    """
    What a file must be like.

    Attributes:
        limit_bytes: No more bytes than this, counted code included; None for any number.
        code_bytes: Counted code.
        decoder: Whether the file's own decoder counts as well (:mod:`artpack.portable.bundle`).
        max_loss_increase: No more loss than this above the checkpoint's, in the unit of what
            measures it; None for any.
    """

    limit_bytes: int | None = None
    code_bytes: int = 0
    decoder: bool = False
    max_loss_increase: float | None = None

    def counted_bytes(self, packed: Packed) -> int:
        """Return the bytes of a file, and those of its decoder if that counts."""
        return with_decoder(packed) if self.decoder else packed.size_bytes

    @property
    def file_limit(self) -> int | None:
        """How many bytes the file itself may have."""
        return None if self.limit_bytes is None else self.limit_bytes - self.code_bytes


@dataclass(frozen=True, eq=False)
class PackInputs:
    """
    What is packed, and what is known of the data.

    Attributes:
        checkpoint: The weights.
        selection: Which of them.
        calibration: None if nothing is known of the data.
        model: Config of the model that the weights belong to, stored as it is.
        provenance: What the file says of where it comes from.
        options: What was asked for, as far as the file says it.
        files: Small files that go with the weights.
        loss: Measures what some tensors' errors add; None if the model cannot be run.
        loss_unit: What that is counted in.
        curvature: Tells what errors of each tensor cost; None to go by formula.
        objective: Makes what weights are learned by, from a batch on; None if the model
            cannot be run.
        sensitivities_file: Where measured sensitivities are kept, if anywhere.
        device: Where GPTQ and fine-tuning compute.
        jobs: Threads, None for one a core; or other workers.
        data_sha256: Hash of what ``loss`` and ``objective`` run over, in hexadecimal.
        run_folder: Keeps what a search finds; None for nowhere.
    """

    checkpoint: Checkpoint
    selection: Selection
    calibration: Calibration | None = None
    model: Config | None = None
    provenance: Config = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    files: PackedFiles | None = None
    loss: Loss | None = None
    loss_unit: str = "nats per token"
    curvature: Curvature | None = None
    objective: Callable[[int], Objective] | None = None
    sensitivities_file: Path | None = None
    device: str = "cpu"
    jobs: Jobs = None
    data_sha256: str = ""
    run_folder: RunFolder | None = None


@dataclass(frozen=True, eq=False)
class PackResult:
    """
    A file that was made, and how it was found.

    Attributes:
        packed: Its content.
        prepared: Those of its tensors that were quantized before they were packed.
        adjustable_weights: How many weights have steps that a budget can adjust.
        fit: The files that were made on the way; None for a recipe with fixed steps.
        loss: What the errors of its tensors add on calibration data, in ``loss_unit``; None
            if that could not be measured.
        loss_unit: What that is counted in.
        role_losses: What the errors of each role's tensors add alone, where that was asked for.
        notes: What was decided on the way, one line each.
    """

    packed: Packed
    prepared: Mapping[str, Prepared]
    adjustable_weights: int = 0
    fit: Fit | None = None
    loss: float | None = None
    loss_unit: str = "nats per token"
    role_losses: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def with_decoder(packed: Packed) -> int:
    """
    Return the bytes of a file and its decoder.

    Args:
        packed: The file, a portable one.

    Returns:
        Bytes.

    """
    return packed.size_bytes + make_bundle(packed.header).size_bytes


def uses_classes(packed: Packed) -> bool:
    """
    Say whether a stream is coded with several tables.

    Args:
        packed: The file.

    Returns:
        True if one is.

    """
    streams = packed.header.plan.streams
    return any(isinstance(stream.pipeline.coder, ClassedRans) for stream in streams)


class Packer:
    """
    Makes files of one checkpoint by one recipe.

    Args:
        inputs: What is packed.
        spec: The recipe.
        profile: How hard to look for small codings.
        portable: Whether files must be decoded without a library, see
            :func:`artpack.pack.compress.compress`.
        deadline_s: Stop looking after so many seconds a file.
        tune_steps: How many batches are learned from while quantizing.
        by_role: Measure what the errors of each role add, too: runs the model once for each.
        progress: Told how far it is.

    Raises:
        UsageError: There is to be learning, and nothing to learn or to learn by.

    """

    def __init__(
        self,
        inputs: PackInputs,
        spec: PlanSpec,
        profile: Profile,
        *,
        portable: bool | None = None,
        deadline_s: float | None = None,
        tune_steps: int = 0,
        by_role: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._inputs, self._profile, self._portable = inputs, profile, portable
        self._spec, self._notes = find_exceptions(inputs.checkpoint, inputs.selection, spec)
        self._deadline_s, self._tune_steps, self._progress = deadline_s, tune_steps, progress
        self._by_role = by_role
        computed = self._spec.needs_data or inputs.objective is not None
        self._options = replace(
            inputs.options,
            device=inputs.device.partition(":")[0] if computed else "cpu",
            profile=profile.name,
            portable=portable,
            deadline_s=deadline_s,
            tune_steps=tune_steps,
        )
        self._plain = self._rate_distortion(None)
        if tune_steps and not self._plain.jobs:
            raise UsageError(
                f"recipe {spec.name!r} has nothing to learn: leave `tune_steps` out,"
                " or take 'frontier'"
            )
        if tune_steps and inputs.objective is None:
            raise UsageError(
                "`tune_steps`: weights are learned by torch, so not for ONNX graphs, and on data:"
                " give `calibration_tokens` or `calibration_batches`"
            )

    def make(
        self,
        goal: Goal = Goal(),
        increase: Callable[[Packed], float] | None = None,
        *,
        judged_on: str = "",
    ) -> PackResult:
        """
        Make the file that is asked for.

        Args:
            goal: What it must be like.
            increase: How much loss a file has above its checkpoint; needed for a goal
                with ``max_loss_increase``.
            judged_on: Hash of what that measures on, where it is not ``loss``.

        Returns:
            The file.

        Raises:
            BudgetError: Nothing fits; says what would.
            CheckpointError: A weight is not finite or does not fit its grid.
            UsageError: The recipe needs data, or has no steps to adjust.

        """
        if not self._plain.jobs:
            return self._make_fixed(goal, self._record(judged_on))
        fit = self._fit(goal, increase, self._record(judged_on))
        loss, role_losses = self._losses(fit.packed.prepared)
        return PackResult(
            fit.packed,
            fit.packed.prepared,
            self._plain.weights,
            fit,
            loss,
            self._inputs.loss_unit,
            role_losses,
            (*self._notes, *self._unseen_note(), *self._sensitivities[1]),
        )

    def _losses(self, prepared: Mapping[str, Prepared]) -> tuple[float | None, dict[str, float]]:
        """Measure what the errors of all adjusted tensors add, and those of each role alone."""
        loss = self._inputs.loss
        if loss is None:
            return None, {}
        adjusted = {
            name: prepared[name].quantizer.dequantize(prepared[name].quantized)
            for name in self._plain.jobs
        }
        roles: dict[str, dict[str, Tensor]] = {}
        for name, tensor in adjusted.items() if self._by_role else ():
            roles.setdefault(role_of(name), {})[name] = tensor
        return loss(adjusted), {role: loss(own) for role, own in roles.items()}

    @property
    def spec(self) -> PlanSpec:
        """The recipe, with the exceptions that the checkpoint demands."""
        return self._spec

    def prepare(self, outcome: Outcome) -> dict[str, Prepared]:
        """
        Quantize what is quantized before it is packed, in one pass.

        Args:
            outcome: What a search found; its step is needed where steps can be adjusted.

        Returns:
            Name to symbols.

        Raises:
            CheckpointError: A weight is not finite or does not fit its grid.
            UsageError: The recipe needs data, or the step.

        """
        if not self._plain.jobs:
            return self._others
        if outcome.log2_step is None:
            raise UsageError(f"recipe {self._spec.name!r}: nothing says which steps were found")
        found = self._rate_distortion(outcome.sensitivities)
        if self._tune_steps:
            prepared = self._tuned(found, outcome.log2_step)
        else:
            prepared = found.prepare(outcome.log2_step, progress=self._progress)
        return self._others | found.reported(prepared)

    def pack(
        self,
        prepared: Mapping[str, Prepared],
        outcome: Outcome,
        streams: Sequence[StreamPlan] | None = None,
    ) -> Packed:
        """
        Make a file of what was quantized before.

        Args:
            prepared: That.
            outcome: What a search found.
            streams: Code these and look for nothing; None to choose.

        Returns:
            The file.

        Raises:
            CheckpointError: A weight is not finite or does not fit its grid.

        """
        return compress(
            **self._contents(prepared, outcome),
            profile=self._profile,
            portable=self._portable,
            streams=streams,
        )

    def _unseen_note(self) -> tuple[str, ...]:
        """Say how many matrices are rounded without data though there are some."""
        unseen = self._plain.unseen
        if not unseen:
            return ()
        told = (
            f"calibration: {len(unseen)} of {len(self._plain.jobs)} matrices were not seen at"
            f" work, {unseen[0]!r} first: they are rounded without data"
        )
        return (told,)

    def _make_fixed(self, goal: Goal, record: SearchRecord) -> PackResult:
        recipe = self._spec.name
        if goal.max_loss_increase is not None:
            raise UsageError(
                f"recipe {recipe!r} has no step to adjust to `max_loss_increase`: take 'frontier'"
            )
        packed = record.file(None, lambda: self._pack({}, Outcome()))
        size, limit = goal.counted_bytes(packed), goal.file_limit
        if limit is not None and size > limit:
            raise BudgetError(
                f"recipe {recipe!r} makes {size:,} bytes, the budget has {limit:,}:"
                " 'frontier' adjusts its steps to the budget"
            )
        return PackResult(packed, packed.prepared, notes=self._notes)

    def _fit(
        self, goal: Goal, increase: Callable[[Packed], float] | None, record: SearchRecord
    ) -> Fit:
        found = self._rate_distortion(self._sensitivities[0])
        quantized = lru_cache(maxsize=1)(partial(found.prepare, progress=self._progress))
        tuned = partial(self._tuned, found, record=record) if self._tune_steps else quantized

        def outcome(log2_step: float) -> Outcome:
            return Outcome(log2_step, self._sensitivities[0])

        def at(log2_step: float) -> Packed:
            def make() -> Packed:
                return self._pack(found.reported(tuned(log2_step)), outcome(log2_step))

            return record.file(log2_step, make)

        def draft(log2_step: float) -> int:
            def measure() -> int:
                return self._expected_size(found.foreseen(quantized(log2_step)), outcome(log2_step))

            return record.draft(log2_step, measure) + (DECODER_BYTES if goal.decoder else 0)

        if goal.file_limit is not None:
            bits = max(8 * goal.file_limit - found.bits_beside, MIN_BITS * found.weights)
            first = found.log2_step_for(bits / found.weights)
            return fit_bytes(
                at,
                limit_bytes=goal.file_limit,
                first=first,
                slope=found.bits_slope(first) / 8,
                draft=draft,
                size=goal.counted_bytes,
            )
        if goal.max_loss_increase is not None:
            assert increase is not None
            judge = partial(record.loss, measure=increase)
            first = found.default_log2_step()
            return fit_loss(at, judge, limit=goal.max_loss_increase, first=first)
        packed = at(found.default_log2_step())
        trial = Trial(found.default_log2_step(), packed.size_bytes)
        return Fit(packed, trial, (trial,))

    def _tuned(
        self, found: RateDistortion, log2_step: float, record: SearchRecord = UNRECORDED
    ) -> dict[str, Prepared]:
        """Quantize, and learn in between."""
        make_objective = self._inputs.objective
        assert make_objective is not None
        in_training = self._options.learning_loss == "training"
        return fine_tune(
            found,
            log2_step,
            make_objective,
            steps=self._tune_steps,
            rate=training_rate(log2_step) if in_training else LEARNING_RATE,
            device=self._inputs.device,
            kept=record.learning(log2_step),
            progress=self._progress,
        )

    def _record(self, judged_on: str) -> SearchRecord:
        """Return what keeps the findings of a search; a deadline makes them chance."""
        run = self._inputs.run_folder
        if run is None or self._deadline_s is not None:
            return UNRECORDED
        costs: Any = self._sensitivities[0] if self._plain.jobs else None
        more: Config = {"sensitivities": costs, "judged_on": judged_on}
        return SearchRecord(run, self._identity | more)

    @cached_property
    def _identity(self) -> Config:
        return identity(self._inputs, self._spec, self._profile, self._options)

    @cached_property
    def _sensitivities(self) -> tuple[dict[str, float] | None, tuple[str, ...]]:
        inputs = self._inputs
        found, notes = obtain_sensitivities(
            self._plain,
            inputs.calibration,
            self._spec,
            curvature=inputs.curvature,
            file=inputs.sensitivities_file,
            record=UNRECORDED
            if inputs.run_folder is None
            else SearchRecord(inputs.run_folder, self._identity),
        )
        return rounded(found), notes

    @cached_property
    def _others(self) -> dict[str, Prepared]:
        """What else is quantized before it is packed."""
        inputs = self._inputs
        return prepare(
            inputs.checkpoint,
            inputs.selection,
            self._spec,
            inputs.calibration,
            device=inputs.device,
            jobs=inputs.jobs,
            progress=self._progress,
        )

    def _rate_distortion(self, sensitivities: Mapping[str, float] | None) -> RateDistortion:
        inputs = self._inputs
        return RateDistortion(
            inputs.checkpoint,
            inputs.selection,
            self._spec,
            inputs.calibration,
            sensitivities=sensitivities,
            jobs=inputs.jobs,
        )

    def _pack(self, adjusted: Mapping[str, Prepared], outcome: Outcome) -> Packed:
        """Make a file; where it is to be bundled, see whether a coder is worth its code."""
        contents = self._contents(self._others | dict(adjusted), outcome)
        pack = partial(compress, **contents, portable=self._portable, deadline_s=self._deadline_s)
        packed = pack(profile=self._profile)
        if not self._portable or not uses_classes(packed):
            return packed
        without = pack(profile=self._profile.without(ClassedRans))
        return min(packed, without, key=with_decoder)

    def _expected_size(self, adjusted: Mapping[str, Prepared], outcome: Outcome) -> int:
        contents = self._contents(self._others | dict(adjusted), outcome)
        return expected_size(**contents, profile=self._profile, portable=self._portable)

    def _contents(self, prepared: Mapping[str, Prepared], outcome: Outcome) -> dict[str, Any]:
        """Return what goes into a file, whether it is made or only its size is asked for."""
        inputs = self._inputs
        names = [info.name for info in inputs.selection.tensors]
        asked = {"options": stated} if (stated := self._options.to_json()) else {}
        return {
            "checkpoint": inputs.checkpoint,
            "selection": inputs.selection,
            "spec": self._spec,
            "prepared": prepared,
            "model": inputs.model,
            "provenance": {**inputs.provenance, **asked, **outcome.to_json(names)},
            "files": inputs.files,
            "jobs": inputs.jobs,
            "progress": self._progress,
        }
