"""What a recipe asks of all its matrices together."""

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, ClassVar, TypeVar

from artpack.errors import RecipeError, UsageError
from artpack.quantize.grids.factors import FACTORS, Factors, RowFactors
from artpack.quantize.rounding.gptq import Gptq
from artpack.quantize.rounding.steps import RefinedSteps
from artpack.recipes.rules import plain_value
from artpack.stages import Config, ConfiguredStage, JsonValue, nearest

StageT = TypeVar("StageT")


@dataclass(frozen=True)
class Correction(ConfiguredStage):
    """
    A low-rank correction of the matrices that GPTQ leaves the largest error in.

    Attributes:
        top: How many matrices: those whose error has the largest norm, all if there are
            fewer; 0 corrects none.
        rank: Of the correction, or the matrix's smaller side if that is less.
        factors: How it is stored.
        ragged: How where groups of ``factors`` do not divide the right matrix.

    Source: parameter-golf pull request 1934.

    """

    stage_id: ClassVar[str] = "correction"
    top: int
    rank: int
    factors: Factors = field(metadata={"table": FACTORS})
    ragged: Factors = field(default_factory=lambda: RowFactors(4), metadata={"table": FACTORS})

    def __post_init__(self) -> None:
        for name, lowest in (("top", 0), ("rank", 1)):
            value = getattr(self, name)
            if value < lowest:
                raise UsageError(f"correction: {name} must be at least {lowest}, got {value}")


@dataclass(frozen=True)
class Search:
    """
    Options of rounding of which several values are tried, on all matrices alike.

    The combination with the smallest sum of the matrices' mean squared errors
    wins, the first of equals. ``damping`` changes slowest.

    Attributes:
        damping: Values of the option ``damping`` of :class:`Gptq` or, without data, of
            :class:`RefinedSteps`; none leaves it alone.
        block: Values of the option ``block`` of :class:`Gptq`.
        refinements: Values of the option ``refinements`` of :class:`RefinedSteps`.

    Source: parameter-golf pull request 826.

    """

    damping: tuple[float, ...] = ()
    block: tuple[int, ...] = ()
    refinements: tuple[int, ...] = ()

    KEYS: ClassVar[dict[str, type]] = {"damping": float, "block": int, "refinements": int}

    @classmethod
    def from_json(cls, value: JsonValue) -> "Search":
        """
        Read the table ``[search]`` of a recipe.

        Args:
            value: The table.

        Returns:
            The search.

        Raises:
            RecipeError: A key is unknown, or a value is no list of numbers.
            UsageError: A number is out of range.

        """
        if not isinstance(value, dict):
            raise RecipeError(f"search must be a table, got {value!r}")
        lists: dict[str, Any] = {}
        for key, items in value.items():
            if key not in cls.KEYS:
                raise RecipeError(f"search: unknown key {key!r}{nearest(key, cls.KEYS)}")
            if not isinstance(items, list):
                raise RecipeError(f"search: {key} must be a list, got {items!r}")
            lists[key] = tuple(plain_value(f"search: {key}", x, cls.KEYS[key]) for x in items)
        search = cls(**lists)
        for options in search.combinations():
            search.apply(Gptq(), options)
            search.apply(RefinedSteps(), options)
        return search

    def to_json(self) -> Config:
        """Return the search as a recipe states it."""
        return {key: list(getattr(self, key)) for key in self.KEYS if getattr(self, key)}

    def apply(self, stage: StageT, options: dict[str, Any]) -> StageT:
        """
        Change the options of a stage that are searched.

        Args:
            stage: Any stage.
            options: One of :meth:`combinations`.

        Returns:
            The stage with those options that it has; refinements are those of steps alone.

        """
        if not isinstance(stage, Gptq | RefinedSteps):
            return stage
        own = ("damping", "block") if isinstance(stage, Gptq) else ("damping", "refinements")
        return replace(stage, **{key: value for key, value in options.items() if key in own})

    def combinations(self) -> list[dict[str, Any]]:
        """
        List the options to try.

        Returns:
            Name to value; one empty dictionary if there is nothing to search.

        >>> [options["damping"] for options in Search((0.01, 0.005), (128, 64)).combinations()]
        [0.01, 0.01, 0.005, 0.005]

        """
        names = [name for name in self.KEYS if getattr(self, name)]
        values = product(*(getattr(self, name) for name in names))
        return [dict(zip(names, combination, strict=True)) for combination in values]
