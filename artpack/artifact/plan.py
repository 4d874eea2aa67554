"""
The plan that an artifact stores: every tensor with its quantizer, every stream with its pipeline.

What a recipe asks for is another type, :class:`~artpack.recipes.spec.PlanSpec`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from artpack.coding.pipeline import Pipeline
from artpack.stages import Quantizer
from artpack.stages.symbols import PartSpec


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

    @cached_property
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
