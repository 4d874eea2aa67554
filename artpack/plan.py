"""
What was asked, and what was chosen.

A :class:`PlanSpec` is asked for, by a recipe: rules that say which tensor gets
which quantizer. A :class:`Plan` is chosen, and stored in the artifact: every
tensor with its quantizer, every stream with its pipeline and members.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from artpack.across import Correction, Search
from artpack.checkpoint import TensorInfo
from artpack.coding.pipeline import Pipeline
from artpack.rules import Rule
from artpack.stages import Config, Quantizer
from artpack.symbols import PartSpec


@dataclass(frozen=True)
class PlanSpec:
    """
    What a recipe asks for.

    Attributes:
        name: Name of the recipe.
        about: What it does, one line.
        rules: First match wins; tensors that are not floating point are always
            stored as they are.
        correction: What is corrected afterwards, if anything is.
        search: Which options of GPTQ are tried.
        exceptions: Rules of single tensors, by name, that a checkpoint demands; None as long
            as it was not looked at. They are no part of what is asked for.
    """

    name: str
    about: str
    rules: tuple[Rule, ...]
    correction: Correction | None = None
    search: Search = field(default_factory=Search)
    exceptions: Mapping[str, Rule] | None = None

    @property
    def needs_data(self) -> bool:
        """Whether a rule rounds with a Hessian."""
        return any(rule.needs_data for rule in self.rules)

    def rule_for(self, name: str, shape: tuple[int, ...]) -> Rule | None:
        """Return the first rule that takes the tensor, or None."""
        return next((rule for rule in self.rules if rule.takes(name, shape)), None)

    def rule_of(self, info: TensorInfo) -> Rule | None:
        """
        Return the rule of a stored tensor.

        Args:
            info: The tensor; a slice of a stack falls under the stack's rule.

        Returns:
            The first rule that takes it; None for what is no floating point or has 8 bits,
            which is stored as it is, and where no rule takes it.

        """
        if not info.dtype.is_floating_point or info.dtype.itemsize == 1:
            return None
        whole = info.stack or info
        if self.exceptions is not None and whole.name in self.exceptions:
            return self.exceptions[whole.name]
        if info.stack is None:
            return self.rule_for(info.name, info.shape)
        rows = info.shape[0]
        taking = (rule for rule in self.rules if rule.takes(whole.name, whole.shape, rows=rows))
        return next(taking, None)

    def to_json(self) -> Config:
        """Return the recipe as data, for the artifact's provenance."""
        stated: Config = {
            "name": self.name,
            "rules": {rule.name: rule.to_json() for rule in self.rules},
        }
        if self.correction is not None:
            stated["correction"] = self.correction.config()
        if self.search != Search():
            stated["search"] = self.search.to_json()
        return stated


@dataclass(frozen=True)
class TensorPlan:
    """
    One stored tensor.

    Attributes:
        name: Its name in the checkpoint, banks opened.
        shape: Its shape.
        dtype: Its dtype in the checkpoint, as torch spells it: ``float32``.
        quantizer: What made its symbols.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantizer: Quantizer

    @property
    def parts(self) -> tuple[PartSpec, ...]:
        """The parts that the quantizer makes of this shape."""
        return self.quantizer.parts(self.shape)


@dataclass(frozen=True)
class Member:
    """
    Some rows of one part of one tensor.

    Attributes:
        tensor: Index of the tensor in the plan.
        part: Index of the part in the tensor's ``parts``.
        first_row: First row.
        rows: Number of rows.
    """

    tensor: int
    part: int
    first_row: int
    rows: int


@dataclass(frozen=True)
class StreamPlan:
    """
    One stream: which members it holds, and how they are coded.

    Attributes:
        members: In the order coded; all of one alphabet.
        pipeline: How they are coded.
    """

    members: tuple[Member, ...]
    pipeline: Pipeline


@dataclass(frozen=True)
class Plan:
    """
    Everything that was chosen.

    Attributes:
        tensors: The stored tensors, in checkpoint order.
        streams: The streams, in file order.
    """

    tensors: tuple[TensorPlan, ...]
    streams: tuple[StreamPlan, ...]

    def spec(self, member: Member) -> PartSpec:
        """Return the whole part that a member takes rows of."""
        return self.tensors[member.tensor].parts[member.part]

    def shapes(self, members: Sequence[Member]) -> list[tuple[int, int]]:
        """Return rows and columns of each member."""
        return [(member.rows, self.spec(member).cols) for member in members]
