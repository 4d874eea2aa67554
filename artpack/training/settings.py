"""
Settings of a training run: records that a recipe file fills in.

Numbers are those of the published run; :meth:`Training.scaled` shrinks its lengths.
"""

from dataclasses import dataclass, replace
from typing import Literal, Self

from artpack.errors import UsageError
from artpack.stages import Record, check_range
from artpack.stages.patterns import compiled

MAX_STEPS = 1 << 31


@dataclass(frozen=True)
class Batches(Record):
    """
    What a step reads.

    Attributes:
        tokens: Predicted tokens a step, of all processes together.
        window_tokens: Tokens a row.
        micro_tokens: Predicted tokens a forward pass; None for one row.
        order: ``sequential`` as the seeds read; ``shuffled``: every pass over the data
            takes all rows in another order and from another offset.
        documents: Keep packed documents from seeing each other.
        ranked_shards: Read first what the untrained model finds easy, as PR 826 does.
    """

    tokens: int
    window_tokens: int
    micro_tokens: int | None = None
    order: Literal["sequential", "shuffled"] = "sequential"
    documents: bool = False
    ranked_shards: bool = False

    def __post_init__(self) -> None:
        check_range(self, "window_tokens", 1, MAX_STEPS)
        micro = self.micro_tokens or self.window_tokens
        if micro % self.window_tokens or self.tokens % micro or self.tokens < 1:
            raise UsageError(
                f"batches: {self.tokens} tokens are not whole passes of {micro} tokens"
                f" in rows of {self.window_tokens}"
            )

    @property
    def micro_rows(self) -> int:
        """Rows of a forward pass."""
        return (self.micro_tokens or self.window_tokens) // self.window_tokens

    @property
    def passes(self) -> int:
        """Forward passes of a step, of all processes together."""
        return self.tokens // (self.micro_rows * self.window_tokens)


@dataclass(frozen=True)
class Schedule(Record):
    """
    How long a run is, and the shape of its learning rate.

    Attributes:
        steps: Most steps.
        warmup_steps: Length of the linear rise.
        warmdown_share: Share of the run in which the rate falls linearly to 0.
        floor: But never below this share of itself.
        seconds: Most seconds from the start of training to the packed file, or None.
            Then the shape follows the clock where that is further than the steps.
        reserve_seconds: Of these, what is left for averaging and packing.
    """

    steps: int
    warmup_steps: int = 0
    warmdown_share: float = 0.0
    floor: float = 0.0
    seconds: float | None = None
    reserve_seconds: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, "steps", 1, MAX_STEPS)
        check_range(self, "warmup_steps", 0, MAX_STEPS)
        check_range(self, "warmdown_share", 0, 1)
        check_range(self, "floor", 0, 1)


@dataclass(frozen=True)
class Init(Record):
    """
    Initial values of the tensors that a pattern names; the first that matches counts.

    Attributes:
        match: Regular expression found in the name; banks are filled slice by slice,
            under the names that a separate matrix would have.
        kind: ``normal`` with standard deviation ``scale``; ``orthogonal`` times ``scale``;
            ``uniform`` within ``scale / sqrt(cols)``; ``values``.
        scale: As ``kind`` says.
        values: One value for all, or one for each row.
    """

    match: str
    kind: Literal["normal", "orthogonal", "uniform", "values"]
    scale: float = 1.0
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        compiled(self.match)


@dataclass(frozen=True)
class MuonSettings(Record):
    """
    Settings of :class:`~artpack.training.muon.Muon`.

    Attributes:
        momentum: From the end of the ramp on.
        momentum_start: At its start.
        momentum_steps: Its length.
        iteration: Coefficients of the orthogonalization.
        rounds: Rounds of it; Polar Express has five at most.
        normalize_rows: Normalize the update's rows first.
    """

    momentum: float = 0.95
    momentum_start: float = 0.95
    momentum_steps: int = 0
    iteration: Literal["quintic", "polar-express"] = "quintic"
    rounds: int = 5
    normalize_rows: bool = False

    def __post_init__(self) -> None:
        check_range(self, "rounds", 1, 5 if self.iteration == "polar-express" else 99)


@dataclass(frozen=True)
class ParameterGroup(Record):
    """
    Parameters that are optimized alike; the first group that matches a name takes it.

    Attributes:
        match: Regular expression found in the parameter's name.
        lr: Learning rate.
        weight_decay: Decoupled: times the learning rate, the share lost in a step.
        muon: Settings of Muon; None for AdamW with betas 0.9 and 0.95.
    """

    match: str
    lr: float
    weight_decay: float = 0.0
    muon: MuonSettings | None = None

    def __post_init__(self) -> None:
        compiled(self.match)


@dataclass(frozen=True)
class AverageSettings(Record):
    """
    An average of the weights, see :mod:`artpack.training.averaging`.

    Attributes:
        kind: Which.
        decay: Of ``ema`` and ``hma``.
        warmup_steps: Of ``ema``.
        every_steps: Of ``swa``.
        below_factor: Of ``swa``.
    """

    kind: Literal["ema", "swa", "hma"]
    decay: float = 0.997
    warmup_steps: int = 0
    every_steps: int = 50
    below_factor: float = 0.2


@dataclass(frozen=True)
class Qat(Record):
    """
    Training on what packing gives back.

    Attributes:
        recipe: The packing recipe, by name or file, as ``artpack compress`` takes it.
        overrides: Changes to it, ``KEY=VALUE``.
        below_factor: Start when the learning-rate factor is down to this; 1 starts at once.
        rate_weight: Nats of loss for each bit per weight that the symbols' entropy has.
        rate_share: Last share of the run in which that counts.
    """

    recipe: str
    overrides: tuple[str, ...] = ()
    below_factor: float = 1.0
    rate_weight: float = 0.0
    rate_share: float = 0.0


@dataclass(frozen=True)
class Training(Record):
    """
    A training run.

    Attributes:
        about: What it is, one line.
        model: Name of the model, one of ``artpack models``.
        batches: What a step reads.
        schedule: How long, and how fast.
        init: Initial values; a tensor that none matches keeps what the model starts with.
        groups: What optimizes which parameters.
        averages: Candidates for the weights that are kept.
        select: ``best``: the candidate with the least validation loss, as it would come out
            of the packed file; ``last``: the last one of ``averages`` that has weights.
        qat: Training on what packing gives back, or None.
        z_loss: Times the mean square of the log-sum-exp of the logits.
        loop_from: Share of the run from which on a model's loop is run; until then its
            layers are visited once, as PR 1934 does.
        gradient_clip: Largest norm of all gradients together; 0 for none.
        validate_steps: Score the held-out text after every so many steps; 0 only at the end.
        seed: Of the initial values and of the order.
    """

    about: str
    model: str
    batches: Batches
    schedule: Schedule
    groups: tuple[ParameterGroup, ...]
    init: tuple[Init, ...] = ()
    averages: tuple[AverageSettings, ...] = ()
    select: Literal["best", "last"] = "last"
    qat: Qat | None = None
    z_loss: float = 0.0
    loop_from: float = 0.0
    gradient_clip: float = 0.0
    validate_steps: int = 0
    seed: int = 1337

    def scaled(self, steps: int) -> Self:
        """
        Return the same run with another number of steps.

        Args:
            steps: How many.

        Returns:
            Warm-ups, ramps and the spans of averages keep their share of the run.

        """
        ratio = steps / self.schedule.steps
        warmup = round(self.schedule.warmup_steps * ratio)
        return replace(
            self,
            schedule=replace(self.schedule, steps=steps, warmup_steps=warmup),
            groups=tuple(_scaled_group(group, ratio) for group in self.groups),
            averages=tuple(_scaled_average(average, ratio) for average in self.averages),
            validate_steps=round(self.validate_steps * ratio),
        )


def _scaled_group(group: ParameterGroup, ratio: float) -> ParameterGroup:
    if group.muon is None:
        return group
    steps = round(group.muon.momentum_steps * ratio)
    return replace(group, muon=replace(group.muon, momentum_steps=steps))


def _scaled_average(average: AverageSettings, ratio: float) -> AverageSettings:
    # A span of one step would be no average at all.
    span = max(ratio / (1 - average.decay), 2.0)
    return replace(
        average,
        decay=1 - 1 / span,
        warmup_steps=round(average.warmup_steps * ratio),
        every_steps=max(1, round(average.every_steps * ratio)),
    )
