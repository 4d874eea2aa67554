"""The job of ``artpack.compress``: weights into one small file."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from artpack.api.inputs import CompressInputs
from artpack.api.notes import notes_of
from artpack.api.opened_inputs import OpenedInputs, open_inputs
from artpack.api.runnable import GptModel, TransformersModel
from artpack.api.scoring import FileScorer, Scoring, measured_loss
from artpack.api.sources import WeightSource
from artpack.api.tokens import TokenSource
from artpack.artifact.describe import Description, describe
from artpack.artifact.reader import open_artifact
from artpack.calibration.file import Calibration
from artpack.coding.profiles import profile_named
from artpack.errors import UsageError
from artpack.evaluation.scoring.score import Comparison
from artpack.evaluation.ttt.load import recipe_data, stored_recipe
from artpack.models import ModelConfig
from artpack.pack.budget import Trial, loss_per_byte
from artpack.pack.compress import Packed
from artpack.pack.packer import Goal, Packer, PackResult
from artpack.pack.sensitivities import Loss
from artpack.portable.bundle import Bundle, make_bundle
from artpack.quantize.error_report import Report
from artpack.recipes import DEFAULT_RECIPE, FRONTIER_RECIPE, load_recipe
from artpack.recipes.spec import PlanSpec
from artpack.runners.losses import LossName
from artpack.runners.module import Forward
from artpack.runners.onnx import BatchSource
from artpack.runners.settings import Settings
from artpack.stages import Config
from artpack.stages.progress import Progress
from artpack.system.atomic import write_atomically
from artpack.system.run_folder import RunFolder
from artpack.system.workers import Jobs


@dataclass(frozen=True, eq=False)
class CompressResult:
    """
    An artifact in memory, and how it was made.

    Attributes:
        result: What the packer made.
        recipe: Name of the recipe.
        weights: Number of weights packed.
        source_bytes: Their size in the checkpoint.
        goal: What was asked of the file.
        comparison: What it scored beside its checkpoint, if that was asked for.
        notes: What was decided on the way, one line each.
    """

    result: PackResult
    recipe: str
    weights: int
    source_bytes: int
    goal: Goal
    comparison: Comparison | None
    notes: tuple[str, ...]

    def save(self, path: str | os.PathLike[str]) -> int:
        """
        Write the artifact, whole or not at all.

        Args:
            path: Where to.

        Returns:
            Its size in bytes.

        Raises:
            OSError: It cannot be written.

        """
        return write_atomically(Path(path), self.result.packed.pieces)

    def content(self) -> bytes:
        """Return the artifact's bytes."""
        return self.result.packed.content()

    @cached_property
    def bundle(self) -> Bundle:
        """The artifact's own decoder; an error where it is not portable."""
        return make_bundle(self.result.packed.header)

    @property
    def size_bytes(self) -> int:
        """Size of the artifact."""
        return self.result.packed.size_bytes

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file for each weight; 0 without weights."""
        return 8 * self.size_bytes / self.weights if self.weights else 0.0

    @property
    def reports(self) -> dict[str, Report]:
        """Tensor to its error, for tensors quantized with data."""
        prepared = self.result.prepared
        return {name: one.report for name, one in prepared.items() if one.report is not None}

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The files that were made on the way to the budget."""
        return () if self.result.fit is None else self.result.fit.trials

    @property
    def chosen(self) -> Trial | None:
        """The one of them that was taken; None for a recipe with fixed steps."""
        return None if self.result.fit is None else self.result.fit.chosen

    @property
    def loss(self) -> float | None:
        """Loss on calibration data, in ``loss_unit``; None if it could not be measured."""
        return self.result.loss

    @property
    def loss_unit(self) -> str:
        """What ``loss`` is counted in."""
        return self.result.loss_unit

    @property
    def loss_nats(self) -> float | None:
        """The same where it is counted in nats; None otherwise."""
        return self.loss if self.loss_unit.startswith("nats") else None

    @property
    def role_losses(self) -> Mapping[str, float]:
        """Loss of each role's tensors alone, as ``loss``; empty where that was not asked for."""
        return self.result.role_losses

    def worth_of(self, loss: float) -> float | None:
        """Return how much of a loss another byte would save; None with fixed steps."""
        weights = self.result.adjustable_weights
        return loss_per_byte(loss, weights) if weights else None

    @cached_property
    def description(self) -> Description:
        """Where the bytes of the file went."""
        packed = self.result.packed
        with open_artifact(packed.content(), max_decoded_bytes=packed.decoded_bytes) as artifact:
            return describe(artifact)

    def __repr__(self) -> str:
        ratio = self.source_bytes / self.size_bytes
        loss = "" if self.loss is None else f", loss {self.loss:.5f} {self.loss_unit}"
        return (
            f"<CompressResult {self.recipe}: {self.source_bytes:,} -> {self.size_bytes:,} bytes,"
            f" {self.bits_per_weight:.3f} bits per weight, {ratio:.2f} times smaller{loss}>"
        )


def compress(
    source: WeightSource | Sequence[str | os.PathLike[str]],
    *,
    budget: int | None = None,
    code_bytes: int = 0,
    max_loss_increase: float | None = None,
    recipe: str | PlanSpec | None = None,
    overrides: Sequence[str] = (),
    model: ModelConfig | str | None = None,
    calibration: Calibration | str | os.PathLike[str] | None = None,
    calibration_tokens: TokenSource | None = None,
    calibration_batches: BatchSource | Iterable[Any] | None = None,
    loss: LossName | None = None,
    forward: Forward | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    scoring: Scoring | None = None,
    tune_steps: int = 0,
    include: str = "",
    exclude: str | None = None,
    key: str | None = None,
    strip_prefix: str | None = None,
    average: str | None = None,
    decay: float | None = None,
    profile: str = "default",
    portable: bool | None = None,
    bundle: bool = False,
    by_role: bool = False,
    deadline_s: float | None = None,
    ttt: str | None = None,
    device: str = "cpu",
    jobs: Jobs = None,
    files: Mapping[str, bytes] | None = None,
    tokenizer_files: bool = True,
    dequantize: bool = False,
    run_folder: RunFolder | None = None,
    progress: Progress | None = None,
) -> CompressResult:
    """
    Pack weights into one small file.

    Args:
        source: A file or folder, a state dict, a module, or paths to be averaged.
        budget: Make the best file of no more bytes than this, ``code_bytes`` included.
        code_bytes: Bytes of code that count into the budget.
        max_loss_increase: Make the smallest file that is no worse than its checkpoint by
            more than this: in bits per byte on ``scoring``, or without it in the unit of the
            loss on calibration data.
        recipe: What to do, a name, a TOML file or a spec. By default the frontier where
            there is a calibration or a goal, else int6.
        overrides: Changes to the recipe: ``matrices.quantizer.bits=5``.
        model: The weights' model, a config, preset or file; None to find it.
        calibration: What is known of the data, or its file. With ``calibration_tokens``, a
            file that is missing is written.
        calibration_tokens: Calibrate with these tokens: files, or an array of ids (tokens,).
        calibration_batches: Instead of tokens, batches as the model takes them: a tensor, a
            tuple of arguments, or a mapping of named arguments each. Also arrays by the names
            of arguments, samples along the first axis, or an ``.npz`` file of them.
        loss: What a change of the model's outputs costs, see :func:`artpack.calibrate`.
        forward: Runs the model, a module, on a batch, and returns its outputs.
        tokenizer: SentencePiece model of the tokens, where the model has none of its own.
        scoring: Score the file beside its checkpoint on these tokens.
        tune_steps: Learn while quantizing, for so many steps of 4,096 tokens; see
            :func:`artpack.finetune` for more tokens than a calibration's.
        include: Pack only tensors in whose name this regular expression is found.
        exclude: Leave out tensors in whose name this one is found.
        key: Where in a file of ``torch.save`` the weights are.
        strip_prefix: What to take off their names.
        average: ``mean`` or ``ema``, for several checkpoints.
        decay: Of ``ema``: what is kept of the average at each further checkpoint.
        profile: How hard to look for the smallest coding: ``fast``, ``default``, ``max``.
        portable: Whether Python's standard library and numpy must be all that decoding needs;
            None where that costs less than a thousandth of the bytes, and never for ``max``.
        bundle: Make the file's own decoder as well (:func:`artpack.bundle`), which counts into
            the budget; the file is portable then.
        by_role: Measure what the errors of each role's tensors cost alone, too: a role is all
            tensors whose names differ by numbers alone, and takes a run of the model.
        deadline_s: Stop looking after so many seconds; the bytes then depend on the machine.
        ttt: Let the artifact carry a recipe of test-time training, a name or a TOML file.
        device: Where the model runs and quantizers compute.
        jobs: Threads, None for one a core, or an ``artpack.Cluster``; the bytes do not depend on
            it.
        files: Small files that the artifact carries besides those of its source's folder:
            relative path to content.
        tokenizer_files: Whether those of the source's tokenizer are among them.
        dequantize: Let transformers turn weights that are quantized already into plain ones,
            in float32; otherwise they are kept as they are.
        run_folder: Keeps what is found on the way, so that the same call goes on from there
            if it was ended; see :class:`artpack.RunFolder`.
        progress: Told how far it is.

    Returns:
        The file in memory. The same input gives the same bytes, unless a deadline cut in.

    Raises:
        BudgetError: Nothing fits; says what would.
        CheckpointError: The weights are not usable, or do not fit their grid.
        RecipeError: There is no such recipe, or it is wrong.
        UsageError: Arguments do not go together.

    >>> import torch
    >>> weights = {"fc.weight": torch.eye(64), "fc.bias": torch.zeros(64)}
    >>> compress(weights, recipe="int8", profile="fast").weights
    4160

    """
    chosen = CompressInputs(
        source=source,
        key=key,
        strip_prefix=strip_prefix,
        average=average,
        decay=decay,
        include=include,
        exclude=exclude,
        model=model,
        calibration=calibration,
        calibration_tokens=calibration_tokens,
        calibration_batches=calibration_batches,
        loss=loss,
        forward=forward,
        tokenizer=tokenizer,
        device=device,
        jobs=jobs,
        files=files,
        tokenizer_files=tokenizer_files,
        dequantize=dequantize,
        run_folder=run_folder,
    )
    goal = Goal(budget, code_bytes, bundle, max_loss_increase)
    check_goal(goal)
    if deadline_s is not None and not deadline_s >= 0:
        raise UsageError(f"`deadline_s` must be 0 or more seconds, got {deadline_s}")
    if bundle and portable is False:
        raise UsageError("`bundle` is for portable files")
    spec = choose_recipe(
        recipe, overrides, data=chosen.has_data or replace(goal, decoder=False) != Goal()
    )
    carried = _carried(ttt)
    with open_inputs(chosen, progress) as inputs:
        pack = replace(inputs.pack, provenance=inputs.pack.provenance | carried)
        scorer = make_scorer(scoring, inputs, progress)
        packer = Packer(
            pack,
            spec,
            profile_named(profile),
            portable=bundle or portable,
            deadline_s=deadline_s,
            tune_steps=tune_steps,
            by_role=by_role,
            progress=progress,
        )
        judged = "" if scorer is None else scorer.sha256
        result = packer.make(goal, _increase(scorer, pack.loss, goal), judged_on=judged)
        return result_of(result, inputs, spec, goal, scorer)


def choose_recipe(
    recipe: str | PlanSpec | None, overrides: Sequence[str] = (), *, data: bool
) -> PlanSpec:
    """
    Choose what is done to weights.

    Args:
        recipe: What was asked for, if anything.
        overrides: Changes to it.
        data: Whether anything is known of the data, or asked of the file.

    Returns:
        The recipe.

    Raises:
        RecipeError: There is no such recipe, or it is wrong.

    """
    if isinstance(recipe, PlanSpec):
        if overrides:
            raise UsageError("`overrides` change a recipe that is named, not a spec")
        return recipe
    return load_recipe(recipe or (FRONTIER_RECIPE if data else DEFAULT_RECIPE), overrides)


def make_scorer(
    scoring: Scoring | None, inputs: OpenedInputs, progress: Progress | None = None
) -> FileScorer | None:
    """
    Get ready to score files, if that is asked for.

    Args:
        scoring: On which tokens.
        inputs: What files are made of.
        progress: Told how far it is.

    Returns:
        What scores files.

    Raises:
        UsageError: The model is not known.

    """
    if scoring is None:
        return None
    if not isinstance(inputs.model, GptModel | TransformersModel):
        raise UsageError(
            f"{inputs.opened.name}: no language model to score: say which with `model`"
        )
    settings = Settings(device=inputs.pack.device)
    return FileScorer(scoring, inputs.opened, inputs.model, settings, progress)


def _increase(
    scorer: FileScorer | None, loss: Loss | None, goal: Goal
) -> Callable[[Packed], float] | None:
    """Return what measures how much worse a file is than its checkpoint."""
    if scorer is not None:
        return scorer.increase
    if loss is not None:
        return partial(measured_loss, loss)
    if goal.max_loss_increase is not None:
        raise UsageError("`max_loss_increase` is measured: give `scoring`, or `calibration_tokens`")
    return None


def check_goal(goal: Goal) -> None:
    """
    Check that a goal can be reached by some file.

    Args:
        goal: What is asked of it.

    Raises:
        UsageError: It cannot, or its limits do not go together.

    """
    if goal.limit_bytes is not None and goal.max_loss_increase is not None:
        raise UsageError("`budget` and `max_loss_increase`: give one of them")
    if goal.limit_bytes is None and goal.code_bytes:
        raise UsageError("`code_bytes` counts into a budget: give `budget`")
    if goal.file_limit is not None and goal.file_limit <= 0:
        raise UsageError(f"`budget` {goal.limit_bytes}: the code alone has {goal.code_bytes} bytes")
    if goal.max_loss_increase is not None and not goal.max_loss_increase > 0:
        raise UsageError(f"`max_loss_increase` must be above 0, got {goal.max_loss_increase}")


def _carried(ttt: str | None) -> Config:
    """Return the recipe of test-time training that the file carries, checked."""
    if ttt is None:
        return {}
    data = recipe_data(ttt)
    stored_recipe(data)  # raises where it could not be run
    return {"ttt": data}


def result_of(
    result: PackResult, inputs: OpenedInputs, spec: PlanSpec, goal: Goal, scorer: FileScorer | None
) -> CompressResult:
    """
    Put a result together, and score it if that was asked for.

    Args:
        result: What the packer made.
        inputs: Of what.
        spec: By which recipe.
        goal: What was asked of it.
        scorer: What scores files.

    Returns:
        The result.

    """
    tensors = inputs.pack.selection.tensors
    comparison = None if scorer is None else scorer.compare(result.packed)
    return CompressResult(
        result,
        spec.name,
        sum(info.weights for info in tensors),
        sum(info.bytes for info in tensors),
        goal,
        comparison,
        (*inputs.notes, *notes_of(result, inputs.pack.selection, spec.name)),
    )
