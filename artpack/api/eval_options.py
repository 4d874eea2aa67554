"""Options of an evaluation: its windows, test-time training, and what an audit looks at."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluation.audit.sample import Sample
from artpack.evaluation.windows.placements import STRIDELESS
from artpack.stages import JsonValue

WINDOW_TOKENS = 1024
"""Tokens a window, unless it is said or the model takes fewer."""


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """
    What of a stream is run, and what of it is scored.

    Attributes:
        placement: How windows are placed, a key of
            :data:`~artpack.evaluation.windows.placements.PLACEMENTS`.
        window_tokens: Tokens a window; take what the model was trained with. None for 1,024, or
            as many as the model takes.
        stride_tokens: Scored tokens a window, the others are context; None for all.
        limit_tokens: Score no more than the first so many; None for all.
    """

    placement: str = "sliding"
    window_tokens: int | None = None
    stride_tokens: int | None = None
    limit_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.stride_tokens is not None and self.placement in STRIDELESS:
            raise UsageError(
                f"`placement` {self.placement} has no stride: leave `stride_tokens` out"
            )
        for name in ("window_tokens", "stride_tokens", "limit_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"`{name}` must be 1 or more, got {value}")

    def resolved(self, longest: int | None = None) -> "WindowOptions":
        """
        Say how long windows are where nobody has.

        Args:
            longest: The longest window that the model takes; None for any.

        Returns:
            The same with ``window_tokens``.

        >>> WindowOptions().resolved(512).window_tokens
        512

        """
        if self.window_tokens is not None:
            return self
        return replace(self, window_tokens=min(WINDOW_TOKENS, longest or WINDOW_TOKENS))

    @property
    def size(self) -> int:
        """Tokens a window."""
        return self.window_tokens or WINDOW_TOKENS

    @property
    def stride(self) -> int:
        """Scored tokens a window."""
        return self.stride_tokens or self.size


@dataclass(frozen=True, kw_only=True)
class TttOptions:
    """
    How a model learns while it is scored: test-time training.

    Attributes:
        recipe: A recipe's name, TOML file, or data; None for the recipe that came with
            the weights, or the default.
        overrides: Changes to the recipe: ``rule.lr=0.01``.
        two_pass: Score once more with what was learned; that score is not score-first.
        attribute: Instead of one score, say where the gain comes from.
        state: A file that the state is kept in, and taken up from if it is there.
    """

    recipe: str | os.PathLike[str] | Mapping[str, JsonValue] | None = None
    overrides: tuple[str, ...] = ()
    two_pass: bool = False
    attribute: bool = False
    state: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.attribute and (self.two_pass or self.state is not None):
            raise UsageError("`attribute` takes no `two_pass` or `state`")

    def check_auditable(self) -> None:
        """Check that what is asked for is one score, made in one go."""
        if self.two_pass or self.attribute:
            raise UsageError("`audit` takes one score: leave `two_pass` and `attribute` out")
        if self.state is not None:
            raise UsageError("`audit` takes no `state`: what is audited runs from its beginning")


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditOptions:
    """
    How much an audit looks at, and what besides the evaluation itself.

    Attributes:
        sample: How many places are tried, and how they are drawn.
        train_tokens: What the model was trained on, shards or an array (tokens,); None
            leaves the check out.
        limit_bytes: What artifact and code may have together; None leaves the check out.
        code_bytes: Bytes of code that count.
    """

    sample: Sample = field(default_factory=Sample)
    train_tokens: str | os.PathLike[str] | NDArray[np.integer] | None = None
    limit_bytes: int | None = None
    code_bytes: int = 0
