"""Packs what was opened by a recipe: on the frontier, or tensor by tensor."""

from dataclasses import dataclass
from functools import cached_property

from artpack.coding.profiles import Profile
from artpack.errors import BudgetError, UsageError
from artpack.evaluate.scoring.forward import Settings
from artpack.evaluate.scoring.score import Comparison
from artpack.pack.budget import file_bytes
from artpack.pack.compress import Packed
from artpack.pack.compress import compress as compress_checkpoint
from artpack.pack.kept_as_is import find_exceptions
from artpack.pack.prepare import Prepared, prepare
from artpack.recipes.spec import PlanSpec

from .fitting import Fitted, Fitter
from .judge import Judge
from .material import Material
from .options.budget import Goal, Judging
from .render import tables as render


@dataclass(frozen=True, eq=False)
class Done:
    """
    A file that was made.

    Attributes:
        packed: Its content.
        prepared: Those of its tensors that were quantized before they were packed.
        weights: How many weights of it lie on the frontier.
        fitted: How it was found on the frontier, if it lies there.
        comparison: What it scored, if that was asked for.
        notes: What was decided on the way, one line each.
    """

    packed: Packed
    prepared: dict[str, Prepared]
    weights: int
    fitted: Fitted | None
    comparison: Comparison | None
    notes: tuple[str, ...]


class Packer:
    """
    Makes files of one checkpoint by one recipe.

    Args:
        material: Checkpoint and what is known of the data.
        spec: The recipe.
        profile: How hard to look for small codings.
        deadline_s: Stop looking after so many seconds a file.
        tune_steps: How many steps scales of tensors on the frontier are learned for.
    """

    def __init__(
        self,
        material: Material,
        spec: PlanSpec,
        profile: Profile,
        *,
        deadline_s: float | None = None,
        tune_steps: int = 0,
    ) -> None:
        self.material = material
        self.spec, self._notes = find_exceptions(material.source, material.selection, spec)
        self._profile, self._deadline_s, self._tune_steps = profile, deadline_s, tune_steps

    def make(self, goal: Goal, judge: Judge | None = None) -> Done:
        """Make the file that was asked for."""
        fitter, others = self._fitter, self._others
        if fitter.names:
            fitted = fitter.fit(
                lambda tensors: self._pack(others | tensors, self._profile),
                lambda tensors: self._pack(others | tensors, self._profile.draft()),
                goal,
                judge,
            )
            prepared = others | fitted.prepared
            packed, comparison, notes = (
                fitted.fit.packed,
                fitted.comparison,
                (*self._notes, *fitter.notes),
            )
            return Done(packed, prepared, fitter.weights, fitted, comparison, notes)
        if self._tune_steps:
            raise UsageError(
                f"recipe {self.spec.name!r} has no scales to learn with --tune: take 'frontier'"
            )
        packed = self._pack(others, self._profile)
        _check_limits(packed, goal, self.spec.name)
        comparison = None if judge is None else judge.compare(packed)
        return Done(packed, others, 0, None, comparison, self._notes)

    @cached_property
    def _fitter(self) -> Fitter:
        return Fitter(self.material, self.spec, self._tune_steps)

    @cached_property
    def _others(self) -> dict[str, Prepared]:
        """What else is quantized before it is packed."""
        with render.progress("quantizing") as progress:
            return prepare(
                self.material.source,
                self.material.selection,
                self.spec,
                self.material.calibration,
                device=self.material.device,
                progress=progress,
            )

    def _pack(self, prepared: dict[str, Prepared], profile: Profile) -> Packed:
        config = self.material.config
        with render.progress("packing") as progress:
            return compress_checkpoint(
                self.material.source,
                self.material.selection,
                self.spec,
                prepared=prepared,
                model=None if config is None else config.to_json(),
                provenance=self.material.origin,
                profile=profile,
                jobs=self.material.jobs,
                deadline_s=self._deadline_s,
                progress=progress,
            )


def make_judge(material: Material, judging: Judging | None) -> Judge | None:
    """Get ready to score files, if that was asked for."""
    if judging is None:
        return None
    settings = Settings(device=material.device)
    return Judge(judging, material.source, material.path, material.config, settings)


def _check_limits(packed: Packed, goal: Goal, recipe: str) -> None:
    if goal.max_increase is not None:
        raise UsageError(
            f"recipe {recipe!r} has no step to adjust to --max-bpb-increase: take 'frontier'"
        )
    size, limit = file_bytes(packed), goal.file_limit
    if limit is not None and size > limit:
        raise BudgetError(
            f"recipe {recipe!r} makes {size:,} bytes, the budget has {limit:,}:"
            " 'frontier' adjusts its steps to the budget"
        )
