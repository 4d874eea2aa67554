"""Calibration windows that a model writes itself."""

import numpy as np

from artpack.calibration.windows import Windows
from artpack.errors import UsageError
from artpack.runners.protocol import Writer
from artpack.stages.progress import Progress
from artpack.system.ranks import Ranks, sum_over_ranks

_WRITTEN_AT_ONCE = 16384
"""Tokens whose keys and values are kept: lm6m keeps 8 KB of them a token."""


def self_generate(
    model: Writer,
    count: int,
    window_tokens: int,
    *,
    bos_id: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Windows:
    """
    Let a model write its own calibration windows, shared among ranks.

    Args:
        model: A language model, in evaluation mode.
        count: How many windows.
        window_tokens: Tokens a window.
        bos_id: What every window starts with.
        temperature: Divides the logits, above 0.
        seed: Of the draws; window i is the same whatever the count and the ranks.
        progress: Told after every batch.

    Returns:
        The windows, the same in every rank.

    Raises:
        UsageError: The vocabulary has no such BOS.

    Source: parameter-golf PR 1019.

    """
    if not 0 <= bos_id < model.vocab_size:
        raise UsageError(
            f"windows cannot start with id {bos_id}: the vocabulary has {model.vocab_size}"
        )
    ranks, windows = Ranks.current(), np.zeros((count, window_tokens))
    at_once = max(1, _WRITTEN_AT_ONCE // window_tokens)
    for low in range(ranks.rank * at_once, count, ranks.world * at_once):
        part = range(low, min(low + at_once, count))
        draws = [np.random.default_rng((seed, i)).random(window_tokens, np.float32) for i in part]
        windows[low : part.stop] = model.write(
            np.stack(draws), bos_id=bos_id, temperature=temperature
        )
        if progress is not None:
            progress("writing", part.stop * window_tokens, windows.size)
    return sum_over_ranks(windows, device=str(next(model.module.parameters()).device)).astype(
        np.int64
    )
