"""How much an examination tries, and what it found."""

from dataclasses import dataclass

from artpack.errors import UsageError
from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.black_box.answer import Answer

LISTED = 8
"""At how many places an evaluator that can is asked for the losses of all next tokens."""
SMALL_VOCABULARY = 256
"""Every token is tried at some places where there are no more than these, unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class ExaminationPlan:
    """
    How much is tried.

    Attributes:
        confidence: Chance to find a leak that shows at ``share`` of the places.
        share: Of the places.
        sums: At how many places every token is tried, a run each; None for 2 where the
            vocabulary is small and the evaluator cannot list all losses, else 0.
        bound_nats: How much a loss may change by itself; 0 asks for the same bits.
        keep_documents: Leave the tokens that start documents where they are.
        seed: Of all chance; it is drawn anew unless it is given, so that it is not known before.
    """

    confidence: float = 0.95
    share: float = 0.01
    sums: int | None = None
    bound_nats: float = 0.0
    keep_documents: bool = False
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("confidence", "share"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"`{name}` lies between 0 and 1, not at {getattr(self, name):g}")
        if not 0 <= self.bound_nats < 1:
            raise UsageError(f"`bound_nats` is from 0 to 1, not {self.bound_nats:g}")
        if self.sums is not None and self.sums < 0:
            raise UsageError(f"`sums` is 0 or more, not {self.sums}")


@dataclass(frozen=True)
class Chance:
    """
    How likely a fault escapes.

    Attributes:
        share: Of the places that show it.
        leak: Chance that no random cut lies at one of them.
        sums: Chance that probabilities are summed at none of them.
        peek: Chance that the bet does not find losses that give half of the probability to
            the token itself because they have seen it.
    """

    share: float
    leak: float
    sums: float
    peek: float


@dataclass(frozen=True, eq=False)
class Examined:
    """
    What was found.

    Attributes:
        conditions: C1 to C4.
        answer: To the stream as it is.
        chances: Of missing something.
        random_cuts: How many cuts were drawn at random.
    """

    conditions: tuple[Condition, ...]
    answer: Answer
    chances: tuple[Chance, ...] = ()
    random_cuts: int = 0
