"""Shards in the order of how easy they are."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from artpack.evaluation.tokens.shards import Tokens
from artpack.models.gpt import GPT

PROBE_ROWS, PROBE_TOKENS = 8, 512


@torch.inference_mode()
def easiest_first(model: GPT, shards: Sequence[Tokens], *, device: str) -> list[int]:
    """
    Order shards by a model's loss on their first 4,096 tokens.

    PR 826 asks the untrained model, whose losses hardly differ: the order is arbitrary,
    though the same every time.

    Args:
        model: On the device.
        shards: Tokens; one with less than a row of 512 counts as the hardest.
        device: As torch names it.

    Returns:
        Indices of the shards, ascending in loss.

    Source: PR 826.

    """
    losses = []
    for shard in shards:
        rows = min(PROBE_ROWS, (shard.size - 1) // PROBE_TOKENS)
        if rows < 1:
            losses.append(float("inf"))
            continue
        probe = torch.from_numpy(shard[: rows * PROBE_TOKENS + 1].astype(np.int64)).to(device)
        logits = model(probe[:-1].view(rows, PROBE_TOKENS))
        losses.append(float(F.cross_entropy(logits.flatten(0, 1), probe[1:])))
    return sorted(range(len(shards)), key=lambda number: losses[number])
