"""The content of a recipe: what is asked of all tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from artpack.checkpoint import TensorInfo
from artpack.recipes.corrections import Correction, Search
from artpack.recipes.rules import Rule
from artpack.stages import APART, Config, Record, later


@dataclass(frozen=True)
class PlanSpec(Record):
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

    name: str = field(metadata=APART)
    about: str = ""
    rules: tuple[Rule, ...] = field(default=(), metadata=APART)
    correction: Correction | None = later(None)
    search: Search = later(Search())
    exceptions: Mapping[str, Rule] | None = field(default=None, metadata=APART)

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
        """Return the recipe as data, for the artifact's provenance; a map there has no order."""
        stated, names = super().to_json(), [rule.name for rule in self.rules]
        del stated["about"]
        return {
            "name": self.name,
            "rules": {rule.name: rule.to_json() for rule in self.rules},
            **({"order": list(names)} if len(names) > 1 else {}),
            **stated,
        }
