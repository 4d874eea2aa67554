"""
What was asked, and what was chosen.

A :class:`PlanSpec` is asked for, by a recipe: rules that say which tensor gets
which quantizer. A :class:`Plan` is chosen, and stored in the artifact: every
tensor with its quantizer, every stream with its pipeline and members.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from artpack.coding.pipeline import Pipeline
from artpack.errors import RecipeError
from artpack.quantize import QUANTIZERS
from artpack.stages import Config, JsonValue, Quantizer, nearest, stage_from_json, stage_to_json
from artpack.symbols import PartSpec

KEEP = "keep"
"""In place of a quantizer: store the tensor as it is."""


@dataclass(frozen=True)
class Rule:
    """
    Which tensors get which quantizer.

    Attributes:
        name: The rule's name in the recipe, for messages and ``--set``.
        quantizer: What the tensors get; None keeps them as they are.
        match: Regular expression that must be found in the tensor's name.
        min_dims: The tensor has at least this many dimensions.
        min_rows: Its first axis is at least this long: a few rows are a table of
            vectors, such as gates or mixing weights, and no matrix.
        min_weights: The tensor has at least this many weights.
        split_qkv: Code the query, key and value rows of a fused projection as
            three streams: as many query rows as columns, the rest halved.
    """

    name: str
    quantizer: Quantizer | None
    match: str = ""
    min_dims: int = 0
    min_rows: int = 0
    min_weights: int = 0
    split_qkv: bool = False

    def takes(self, name: str, shape: tuple[int, ...]) -> bool:
        """Return whether a tensor of this name and shape falls under the rule."""
        return (
            len(shape) >= self.min_dims
            and (shape[0] if shape else 1) >= self.min_rows
            and math.prod(shape) >= self.min_weights
            and re.search(self.match, name) is not None
        )

    def to_json(self) -> Config:
        """Return the rule as a recipe states it."""
        return {
            "match": self.match,
            "min_dims": self.min_dims,
            "min_rows": self.min_rows,
            "min_weights": self.min_weights,
            "split_qkv": self.split_qkv,
            "quantizer": KEEP if self.quantizer is None else stage_to_json(self.quantizer),
        }


RULE_KEYS: dict[str, type] = {
    "match": str,
    "min_dims": int,
    "min_rows": int,
    "min_weights": int,
    "split_qkv": bool,
}


def rule_from_json(name: str, value: JsonValue) -> Rule:
    """
    Read one rule of a recipe.

    Args:
        name: The rule's name.
        value: The table under that name.

    Returns:
        The rule.

    Raises:
        RecipeError: A key is unknown, missing or of the wrong type, or the
            expression does not compile.
        UsageError: The quantizer's fields do not fit it.
        UnknownStageError: There is no such quantizer.

    """
    if not isinstance(value, dict) or "quantizer" not in value:
        raise RecipeError(f"rule {name!r} needs a 'quantizer'")
    known = {**RULE_KEYS, "quantizer": object}
    for key, item in value.items():
        if key not in known:
            raise RecipeError(f"rule {name!r}: unknown key {key!r}{nearest(key, known)}")
        if key in RULE_KEYS and type(item) is not RULE_KEYS[key]:
            wanted = RULE_KEYS[key].__name__
            raise RecipeError(f"rule {name!r}: {key} must be {wanted}, got {item!r}")
    fields: dict[str, Any] = {key: item for key, item in value.items() if key in RULE_KEYS}
    quantizer = value["quantizer"]
    stage = None if quantizer == KEEP else stage_from_json(QUANTIZERS, quantizer)
    rule = Rule(name, stage, **fields)
    try:
        re.compile(rule.match)
    except re.error as error:
        raise RecipeError(f"rule {name!r}: match {rule.match!r}: {error}") from error
    return rule


@dataclass(frozen=True)
class PlanSpec:
    """
    What a recipe asks for.

    Attributes:
        name: Name of the recipe.
        about: What it does, one line.
        rules: First match wins; tensors that are not floating point are always
            stored as they are.
    """

    name: str
    about: str
    rules: tuple[Rule, ...]

    def rule_for(self, name: str, shape: tuple[int, ...]) -> Rule | None:
        """Return the first rule that takes the tensor, or None."""
        return next((rule for rule in self.rules if rule.takes(name, shape)), None)

    def to_json(self) -> Config:
        """Return the recipe as data, for the artifact's provenance."""
        return {"name": self.name, "rules": {rule.name: rule.to_json() for rule in self.rules}}


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
