"""The outcome of one condition of an audit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

_SHOWN = 5


@dataclass(frozen=True)
class Condition:
    """
    One thing that a legal score keeps to.

    Attributes:
        name: ``C1`` to ``C4``, ``bytes``, ``overlap`` or ``size``.
        rule: What it asks.
        checked: What was looked at, in numbers.
        violations: Where it is broken, the first few; empty if nowhere.
        count: How many violations there are.
        numbers: What was measured, by name.
    """

    name: str
    rule: str
    checked: str
    violations: tuple[str, ...]
    count: int
    numbers: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def judge(
        cls,
        name: str,
        rule: str,
        checked: str,
        violations: Iterable[str],
        *,
        numbers: Mapping[str, float] | None = None,
    ) -> Self:
        """
        Put a finding together.

        Args:
            name: Of the condition.
            rule: What it asks.
            checked: What was looked at.
            violations: All of them.
            numbers: What was measured, by name.

        Returns:
            The finding.

        """
        found = list(violations)
        return cls(name, rule, checked, tuple(found[:_SHOWN]), len(found), numbers or {})

    @property
    def passed(self) -> bool:
        """Whether nothing is broken."""
        return not self.violations
