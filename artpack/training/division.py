"""
A run to a budget: steps at full precision, then steps in which weights are quantized.

::

    steps at full precision ─► average ─► checkpoint ─► a share of the columns, learn, ... ─► file

Both parts together read as many tokens as the whole run would have, from the rows that it would
have read. The first part is the whole run, stopped: its learning rate is not down to 0 then, and
an average of its weights is the better for it.
"""

from dataclasses import dataclass

from artpack.errors import UsageError
from artpack.models.config import ModelConfig
from artpack.pack.fine_tuning import FREE_SHARES
from artpack.runners.batches import LEARNED_TOKENS
from artpack.training.settings import Training

LAST_SHARE = 0.05
"""
Share of a run's steps whose tokens are learned from while weights are quantized.

Half of the weights are fixed at once, so the rest of the run learns less than it would at full
precision: more steps pay only where packing costs much. docs/LOG.md compares 5 and 10%.
"""


@dataclass(frozen=True)
class Division:
    """
    A run in two parts.

    Attributes:
        steps: How many steps are taken at full precision.
        batches: How many batches of ``LEARNED_TOKENS`` are learned from afterwards.
        window_tokens: Tokens of a row in both.
    """

    steps: int
    batches: int
    window_tokens: int


def divide(training: Training, config: ModelConfig) -> Division:
    """
    Divide a run.

    Args:
        training: The whole of it.
        config: Its model.

    Returns:
        Its parts.

    Raises:
        UsageError: It is too short, follows the clock, or is trained on a grid of its own.

    """
    if training.schedule.seconds is not None:
        raise UsageError(
            "`budget` divides a run by its steps: leave the recipe's `schedule.seconds` out"
        )
    if training.qat is not None or config.simulated:
        raise UsageError(
            "`budget` packs by the recipe 'frontier', and this one trains on another grid:"
            " take 'plain'"
        )
    steps, tokens = training.schedule.steps, training.batches.tokens
    last = max(1, round(LAST_SHARE * steps))
    batches = last * tokens // LEARNED_TOKENS
    if batches < len(FREE_SHARES) or last == steps:
        least = -(-len(FREE_SHARES) * LEARNED_TOKENS // tokens)
        raise UsageError(
            f"`budget` takes the last {LAST_SHARE:.0%} of a run, {least:,} steps of {tokens:,}"
            f" tokens at least: {steps:,} steps are too few,"
            f" {round(least / LAST_SHARE):,} are enough"
        )
    return Division(steps - last, batches, training.batches.window_tokens)
