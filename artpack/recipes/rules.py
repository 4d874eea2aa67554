"""Rules of a recipe: which tensors, stored how, and by what road they get there."""

import math
from dataclasses import dataclass, field

from artpack.errors import UsageError
from artpack.quantize import QUANTIZERS, RowAsymInt
from artpack.quantize.grids.group_levels import GroupLevels
from artpack.quantize.grids.lattice import Lattice
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.rounding.gptq import Gptq
from artpack.quantize.rounding.row_rounding import ROUNDINGS, Nearest, Rounding
from artpack.quantize.rounding.steps import STEPS, Steps
from artpack.quantize.rounding.watersic import WaterSic
from artpack.quantize.scales import Fp16Scales
from artpack.stages import APART, Quantizer, Record, later
from artpack.stages.patterns import compiled

KEEP = "keep"
"""In place of a quantizer: store the tensor as it is."""


@dataclass(frozen=True, kw_only=True)
class Rule(Record):
    """
    Which tensors get which quantizer.

    Attributes:
        name: The rule's name in the recipe.
        match: Regular expression that must be found in the tensor's name.
        min_dims: The tensor has at least this many dimensions.
        min_rows: Its first axis is at least this long: a few rows are a table of
            vectors, such as gates or mixing weights, and no matrix. Of a stack of
            matrices, the first axis of each.
        min_weights: The tensor has at least this many weights.
        split_qkv: Code the query, key and value rows of a fused projection as
            three streams: as many query rows as columns, the rest halved.
        quantizer: What the tensors get; None keeps them as they are.
        max_weights: They have at most this many; None sets no limit.
        prune: Share of the weights, the smallest, that are zeroed before all else.
        zero_scales: As published by PR 2086, for ``group-absmean`` alone: groups too small
            for fp16 have scales of 0, which coarsen the ``log-delta`` of all others.
        shared_clip: Clip a ``row-asym-int`` at the share of each row's magnitudes that a
            search finds for the whole matrix.
        steps: Where the steps of a ``row-int`` come from, if not from its clip.
        rounding: How the weights of a ``row-int`` or a ``lattice`` become codes.
    """

    name: str = field(metadata=APART)
    match: str = ""
    min_dims: int = 0
    min_rows: int = 0
    min_weights: int = 0
    split_qkv: bool = False
    quantizer: Quantizer | None = field(metadata={"table": QUANTIZERS, "absent": KEEP})
    max_weights: int | None = later(None)
    prune: float = later(0.0)
    zero_scales: bool = later(default=False)
    shared_clip: bool = later(default=False)
    steps: Steps | None = later(None, table=STEPS)
    rounding: Rounding = later(Nearest(), table=ROUNDINGS)

    def __post_init__(self) -> None:
        if not 0 <= self.prune < 1:
            raise UsageError(f"prune must be 0 to below 1, got {self.prune}")
        if isinstance(self.rounding, WaterSic) and not isinstance(self.quantizer, Lattice):
            raise UsageError("watersic is for the quantizer lattice only")
        if self.on_frontier and self.prune:
            raise UsageError("watersic cannot prune")
        if self.zero_scales and not isinstance(self.quantizer, GroupLevels):
            raise UsageError("zero_scales is for group-absmean only")
        if self.shared_clip and not isinstance(self.quantizer, RowAsymInt):
            raise UsageError("shared_clip is for row-asym-int only")
        special = "steps" if self.steps else "rounding" if self.needs_data else None
        if special and not isinstance(self.quantizer, RowInt):
            raise UsageError(f"{special} is for the quantizer row-int only")
        if self.steps and self.quantizer.scales != Fp16Scales():  # type: ignore[union-attr]
            raise UsageError("steps are for scales in fp16 only")
        try:
            compiled(self.match)
        except UsageError as error:
            raise UsageError(f"match: {error}") from error

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
