"""The report about an evaluator that is not artpack's."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.black_box.plan import Chance, ExaminationPlan
from artpack.version import __version__


@dataclass(frozen=True)
class EvaluatorScore:
    """
    What the evaluator came to on the text as it is.

    Attributes:
        targets: Tokens that were scored.
        nats_per_token: Mean loss.
        bits_per_byte: Of the decoded text; None without a tokenizer.
        losses_sha256: Of the losses, 64 bits each, little endian.
    """

    targets: int
    nats_per_token: float
    bits_per_byte: float | None
    losses_sha256: str


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class EvaluatorReport:
    """
    What was found about an evaluator, and how.

    Attributes:
        evaluator: The function or the command line.
        score: On the text as it is; None if it did not get its losses.
        conditions: One for each thing that a legal score keeps to.
        missed: How likely a fault escapes, for some shares of the places.
        plan: What was asked for.
        seed: Of all chance.
        isolated: Whether the system kept runs from writing outside their folders.
        runs: Purpose, seconds and most memory of each.
        sha256: Hashes of the token ids, of the text, and of files that were read.
        limits: What was not, and what cannot be, seen.
        notes: What was decided on the way, one line each.
    """

    evaluator: str
    score: EvaluatorScore | None
    conditions: tuple[Condition, ...]
    missed: tuple[Chance, ...]
    plan: ExaminationPlan
    seed: int
    isolated: bool
    runs: tuple[Mapping[str, str | float | int], ...]
    sha256: Mapping[str, str]
    limits: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no condition is broken, as far as was seen."""
        return all(condition.passed for condition in self.conditions)

    def to_json(self) -> dict[str, Any]:
        """Return it as data that JSON can carry."""
        return {
            "passed": self.passed,
            "evaluator": self.evaluator,
            "score": None if self.score is None else asdict(self.score),
            "conditions": [asdict(one) | {"passed": one.passed} for one in self.conditions],
            "missed": [asdict(one) for one in self.missed],
            "settings": {
                **asdict(self.plan),
                "seed": self.seed,
                "isolated": self.isolated,
                "artpack": __version__,
            },
            "runs": [dict(run) for run in self.runs],
            "sha256": dict(self.sha256),
            "limits": list(self.limits),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        broken = [one.name for one in self.conditions if not one.passed]
        outcome = f"FAILED {', '.join(broken)}" if broken else "passed"
        return f"<EvaluatorReport: {self.evaluator}: {outcome}; {len(self.runs):,} runs>"
