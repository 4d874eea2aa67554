"""The result of an audit, and how it was made."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from artpack.api.eval_options import WindowOptions
from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.audit.sample import Missed, Sample
from artpack.evaluation.ttt.load import Named
from artpack.runners.settings import Settings
from artpack.version import __version__


@dataclass(frozen=True)
class AuditFindings:
    """
    What an audit found about one evaluation.

    Attributes:
        conditions: One for each thing that a legal score keeps to.
        sample: How much was looked at.
        audited_targets: Of the first so many targets.
        missed: How likely the sample misses what, for some shares of the targets.
        sha256: Hashes of the token ids and of the text.
    """

    conditions: tuple[Condition, ...]
    sample: Sample
    audited_targets: int
    missed: tuple[Missed, ...]
    sha256: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """Whether nothing was found in the sample."""
        return all(condition.passed for condition in self.conditions)

    def to_json(self) -> dict[str, Any]:
        """Return the findings as data."""
        return {
            "passed": self.passed,
            "conditions": [asdict(one) | {"passed": one.passed} for one in self.conditions],
            "sample": asdict(self.sample),
            "audited_targets": self.audited_targets,
            "missed": [asdict(one) for one in self.missed],
            "sha256": dict(self.sha256),
        }

    def __repr__(self) -> str:
        return f"<AuditFindings: {_said(self)}>"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class AuditReport:
    """
    What an audit found, and how it was made.

    Attributes:
        findings: What it found.
        windows: What was asked to be run and scored.
        settings: Device, precision and batch size.
        recipe: That the model learned by while it was scored, if it did.
        ngram: How n-grams were mixed in, if they were.
        faithful: Whether published defects were kept.
        sha256: Hashes of what was read, by path.
        notes: What was decided on the way, one line each.
    """

    findings: AuditFindings
    windows: WindowOptions
    settings: Settings
    recipe: Named | None
    ngram: str | None
    faithful: bool
    sha256: dict[str, str]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was found in the sample."""
        return self.findings.passed

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """One for each thing that a legal score keeps to."""
        return self.findings.conditions

    def to_json(self) -> dict[str, Any]:
        """Return it as data that JSON can carry."""
        return {
            "audit": self.findings.to_json(),
            "settings": {
                **asdict(self.windows),
                **asdict(self.settings),
                "ttt": None if self.recipe is None else self.recipe.to_json(),
                "ngram": self.ngram,
                "faithful": self.faithful,
                "artpack": __version__,
                "torch": torch.__version__,
            },
            "sha256": self.sha256,
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"<AuditReport: {_said(self.findings)}>"


def _said(findings: AuditFindings) -> str:
    broken = [one.name for one in findings.conditions if not one.passed]
    outcome = f"FAILED {', '.join(broken)}" if broken else "passed"
    names = ", ".join(one.name for one in findings.conditions)
    return f"{outcome}; looked at {names} in {findings.audited_targets:,} targets"
