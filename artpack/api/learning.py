"""Which tokens are calibrated with, measured on and learned from, and by what loss."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from artpack.api.runnable import DataOptions, Runnable
from artpack.api.running import Running
from artpack.api.tokens import LIMIT_TOKENS
from artpack.calibration.file import hash_config
from artpack.errors import UsageError
from artpack.runners.batches import LEARNED_TOKENS, Batches, TokenBatches
from artpack.runners.distillation import Distillation, NextToken
from artpack.runners.settings import Settings

LearningLoss: TypeAlias = Literal["divergence", "next-token", "training"]

MEASURED_TOKENS = 8192
"""Calibration tokens that a loss is measured on, and nothing learned from."""

HELD_OUT_TOKENS = 32_768
"""The same where there are many tokens: these are not calibrated with either."""


@dataclass(frozen=True)
class Learning:
    """
    What weights learn by where there are many tokens.

    Attributes:
        steps: Batches of ``LEARNED_TOKENS`` that they learn from.
        loss: ``divergence`` from the checkpoint, or that of the ``next-token``; ``training``
            is the latter at the rate of weights that are not trained to the end.
    """

    steps: int
    loss: LearningLoss = "divergence"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"`steps` must be 1 or more, got {self.steps}")
        if self.loss not in get_args(LearningLoss):
            raise UsageError(
                f"`loss` must be divergence, next-token or training, got {self.loss!r}"
            )


@dataclass(frozen=True, eq=False)
class Shares:
    """
    Batches, each for its use.

    Attributes:
        calibrated: To collect a calibration with.
        measured: To measure losses on: nothing is learned from them.
        learned: To learn from.
        loss: What is learned by.
        notes: What was decided on the way, one line each.
    """

    calibrated: Batches
    measured: Batches
    learned: Batches
    loss: LearningLoss = "divergence"
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of what losses are measured on and what is learned from, in hexadecimal."""
        return hash_config(
            {
                "measured": self.measured.sha256,
                "learned": self.learned.sha256,
                "loss": self.loss,
            }
        )

    def objective(self, running: Running, device: str) -> Callable[[int], Distillation]:
        """Return what makes the loss that is learned by, from a batch on."""
        # Few processors multiply in bf16; others take fifteen times as long as in fp32.
        settings = Settings(device=device, precision="fp32" if device == "cpu" else "bf16")
        kind = Distillation if self.loss == "divergence" else NextToken
        return lambda first: kind(
            running.runner, self.learned, running.places, settings=settings, first=first
        )


def share_out(
    model: Runnable, data: DataOptions, learning: Learning | None, settings: Settings
) -> Shares:
    """
    Read what a model is run over, and divide it.

    Args:
        model: How it is run.
        data: Where its batches come from.
        learning: What is to be learned; None for what a calibration's own batches allow.
        settings: Of calibration.

    Returns:
        The batches.

    Raises:
        UsageError: They cannot be read, or are too few to be divided.

    """
    if learning is None:
        batches, notes = model.batches(data, settings)
        measured, learned = batches.split(MEASURED_TOKENS)
        return Shares(batches, measured, learned, notes=notes)
    wanted = HELD_OUT_TOKENS + learning.steps * LEARNED_TOKENS
    limit = max(wanted, HELD_OUT_TOKENS + LIMIT_TOKENS)
    whole, notes = model.batches(replace(data, limit_tokens=limit), settings)
    if not isinstance(whole, TokenBatches) or len(whole.windows) < 2:
        raise UsageError("`tokens`: two windows are needed at least, one to measure on")
    measured, rest = whole.split(HELD_OUT_TOKENS)
    assert isinstance(rest, TokenBatches)
    calibrated = rest.some(LIMIT_TOKENS)
    told = _told(measured, calibrated, rest, learning.steps)
    return Shares(calibrated, measured, rest, learning.loss, (*notes, told))


def _told(measured: Batches, calibrated: TokenBatches, learned: TokenBatches, steps: int) -> str:
    """Say how many tokens are used for what."""
    assert isinstance(measured, TokenBatches)
    rows = max(1, LEARNED_TOKENS // learned.windows.shape[1])
    seen = steps * rows * learned.windows.shape[1]
    return (
        f"learning: {seen:,} tokens, {seen / learned.windows.size:.2f} epochs of"
        f" {learned.windows.size:,}; calibrated with {calibrated.windows.size:,} of these;"
        f" losses are measured on {measured.windows.size:,} others"
    )
