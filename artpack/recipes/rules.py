"""Rules of a recipe: which tensors, stored how, and by what road they get there."""

import math
from dataclasses import dataclass, field
from typing import Any

from artpack.errors import RecipeError, UsageError
from artpack.quantize import QUANTIZERS, RowAsymInt
from artpack.quantize.grids.group_levels import GroupLevels
from artpack.quantize.grids.lattice import Lattice
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.rounding.gptq import Gptq
from artpack.quantize.rounding.row_rounding import ROUNDINGS, Nearest, Rounding
from artpack.quantize.rounding.steps import STEPS, Steps
from artpack.quantize.rounding.watersic import WaterSic
from artpack.quantize.scales import Fp16Scales
from artpack.stages import (
    Config,
    JsonValue,
    Quantizer,
    nearest,
    stage_from_json,
    stage_to_json,
)
from artpack.stages.patterns import compiled

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
            vectors, such as gates or mixing weights, and no matrix. Of a stack of
            matrices, the first axis of each.
        min_weights: The tensor has at least this many weights.
        max_weights: It has at most this many; None sets no limit.
        split_qkv: Code the query, key and value rows of a fused projection as
            three streams: as many query rows as columns, the rest halved.
        prune: Share of the weights, the smallest, that are zeroed before all else.
        zero_scales: As published by PR 2086, for ``group-absmean`` alone: groups too small
            for fp16 have scales of 0, which coarsen the ``log-delta`` of all others.
        shared_clip: Clip a ``row-asym-int`` at the share of each row's magnitudes that a
            search finds for the whole matrix.
        steps: Where the steps of a ``row-int`` come from, if not from its clip.
        rounding: How the weights of a ``row-int`` or a ``lattice`` become codes.
    """

    name: str
    quantizer: Quantizer | None
    match: str = ""
    min_dims: int = 0
    min_rows: int = 0
    min_weights: int = 0
    split_qkv: bool = False
    prune: float = 0.0
    zero_scales: bool = False
    shared_clip: bool = False
    steps: Steps | None = None
    rounding: Rounding = field(default_factory=Nearest)
    max_weights: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.prune < 1:
            raise RecipeError(f"rule {self.name!r}: prune must be 0 to below 1, got {self.prune}")
        if isinstance(self.rounding, WaterSic) and not isinstance(self.quantizer, Lattice):
            raise RecipeError(f"rule {self.name!r}: watersic is for the quantizer lattice only")
        if self.on_frontier and self.prune:
            raise RecipeError(f"rule {self.name!r}: watersic cannot prune")
        if self.zero_scales and not isinstance(self.quantizer, GroupLevels):
            raise RecipeError(f"rule {self.name!r}: zero_scales is for group-absmean only")
        if self.shared_clip and not isinstance(self.quantizer, RowAsymInt):
            raise RecipeError(f"rule {self.name!r}: shared_clip is for row-asym-int only")
        special = "steps" if self.steps else "rounding" if self.needs_data else None
        if special and not isinstance(self.quantizer, RowInt):
            raise RecipeError(f"rule {self.name!r}: {special} is for the quantizer row-int only")
        if self.steps and self.quantizer.scales != Fp16Scales():  # type: ignore[union-attr]
            raise RecipeError(f"rule {self.name!r}: steps are for scales in fp16 only")

    @property
    def needs_data(self) -> bool:
        """Whether the tensors cannot be quantized without a Hessian."""
        return isinstance(self.rounding, Gptq)

    @property
    def on_frontier(self) -> bool:
        """Whether :class:`~artpack.pack.rate_distortion.Frontier` prepares the tensors."""
        return isinstance(self.rounding, WaterSic)

    @property
    def needs_preparing(self) -> bool:
        """Whether the quantizer alone does not make what is stored."""
        special = self.steps is not None or self.zero_scales or self.shared_clip
        return self.needs_data or special or self.prune > 0

    def takes(self, name: str, shape: tuple[int, ...], *, rows: int | None = None) -> bool:
        """
        Return whether a tensor falls under the rule.

        Args:
            name: Its name.
            shape: Its shape.
            rows: Of a matrix in it, if it is a stack of them.

        Returns:
            Whether it does; a stack counts as a whole but for the rows.

        """
        if rows is None:
            rows = shape[0] if shape else 1
        highest = math.inf if self.max_weights is None else self.max_weights
        return (
            len(shape) >= self.min_dims
            and rows >= self.min_rows
            and self.min_weights <= math.prod(shape) <= highest
            and compiled(self.match).found_in(name)
        )

    def to_json(self) -> Config:
        """Return the rule as a recipe states it."""
        stated: Config = {
            "match": self.match,
            "min_dims": self.min_dims,
            "min_rows": self.min_rows,
            "min_weights": self.min_weights,
            "split_qkv": self.split_qkv,
            "quantizer": KEEP if self.quantizer is None else stage_to_json(self.quantizer),
        }
        if self.max_weights is not None:
            stated["max_weights"] = self.max_weights
        if self.prune:
            stated["prune"] = self.prune
        if self.zero_scales:
            stated["zero_scales"] = True
        if self.shared_clip:
            stated["shared_clip"] = True
        if self.steps is not None:
            stated["steps"] = stage_to_json(self.steps)
        if self.rounding != Nearest():
            stated["rounding"] = stage_to_json(self.rounding)
        return stated


RULE_KEYS: dict[str, type] = {
    "match": str,
    "min_dims": int,
    "min_rows": int,
    "min_weights": int,
    "max_weights": int,
    "split_qkv": bool,
    "prune": float,
    "zero_scales": bool,
    "shared_clip": bool,
}
STAGES = {"steps": STEPS, "rounding": ROUNDINGS}


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
        UsageError: The fields of a stage do not fit it.
        UnknownStageError: There is no such stage.

    """
    if not isinstance(value, dict) or "quantizer" not in value:
        raise RecipeError(f"rule {name!r} needs a 'quantizer'")
    known = {**RULE_KEYS, **STAGES, "quantizer": object}
    fields: dict[str, Any] = {}
    for key, item in value.items():
        if key not in known:
            raise RecipeError(f"rule {name!r}: unknown key {key!r}{nearest(key, known)}")
        if key in RULE_KEYS:
            fields[key] = plain_value(f"rule {name!r}: {key}", item, RULE_KEYS[key])
        elif key in STAGES:
            fields[key] = stage_from_json(STAGES[key], item)
    quantizer = value["quantizer"]
    stage = None if quantizer == KEEP else stage_from_json(QUANTIZERS, quantizer)
    rule = Rule(name, stage, **fields)
    try:
        compiled(rule.match)
    except UsageError as error:
        raise RecipeError(f"rule {name!r}: match: {error}") from error
    return rule


def plain_value(what: str, value: JsonValue, wanted: type) -> JsonValue:
    """
    Check the type of a value in a recipe.

    Args:
        what: Where it stands, for the message.
        value: The value.
        wanted: ``bool``, ``int``, ``float`` or ``str``. An int counts as a float.

    Returns:
        The value, of that type.

    Raises:
        RecipeError: It is of another type.

    """
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise RecipeError(f"{what} must be {wanted.__name__}, got {value!r}")
    return value
