"""Corrections and searches that a recipe asks of all its matrices together."""

from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any, TypeVar

from artpack.errors import UsageError
from artpack.quantize.grids.factors import FACTORS, Factors, RowFactors
from artpack.quantize.rounding.gptq import Gptq
from artpack.quantize.rounding.steps import RefinedSteps
from artpack.stages import Record, later

StageT = TypeVar("StageT")


@dataclass(frozen=True)
class Correction(Record):
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

    top: int
    rank: int
    factors: Factors = field(metadata={"table": FACTORS})
    ragged: Factors = field(default_factory=lambda: RowFactors(4), metadata={"table": FACTORS})

    def __post_init__(self) -> None:
        for name, lowest in (("top", 0), ("rank", 1)):
            value = getattr(self, name)
            if value < lowest:
                raise UsageError(f"{name} must be at least {lowest}, got {value}")


@dataclass(frozen=True)
class Search(Record):
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

    damping: tuple[float, ...] = later(())
    block: tuple[int, ...] = later(())
    refinements: tuple[int, ...] = later(())

    def __post_init__(self) -> None:
        for options in self.combinations():
            self.apply(Gptq(), options)
            self.apply(RefinedSteps(), options)

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
        lists = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}
        return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]
