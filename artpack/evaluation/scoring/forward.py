"""
Forward passes over the windows of a plan, with a measurement at every scored position.

Only scored positions pass through the vocabulary projection, which is most of the
work of a small model; in a sliding plan they are few. Nothing is added up here: a
measurement stays one number a position until it is summed in float64.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.windows.plan import WindowPlan
from artpack.evaluation.windows.row_packing import Batch, batches
from artpack.runners.protocol import LanguageModel
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress

Measure: TypeAlias = Callable[[Sequence[Tensor], Tensor], Tensor]
"""From each model's logits (n, V), float32, and the targets (n,) to numbers (n, columns)."""

_POSITIONS_AT_ONCE = 2048
"""Bounds the logits in memory: 128 MiB of float32 at a vocabulary of 16,384."""


def measure_plan(
    models: Sequence[LanguageModel],
    ids: Tokens,
    plan: WindowPlan,
    measure: Measure,
    *,
    columns: int,
    settings: Settings,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """
    Run models side by side and measure their logits at every scored position.

    Args:
        models: On ``settings.device`` and in evaluation mode.
        ids: The stream that the plan was made for.
        plan: What to run and what to score.
        measure: Turns logits and targets into numbers.
        columns: How many numbers it makes.
        settings: Device, precision and batch size.
        progress: Told after every batch.

    Returns:
        float32, shape (scored, columns), in the order of ``plan.scored_targets()``.

    """
    device, batch_rows = torch.device(settings.device), settings.batch_rows(plan.row_tokens)
    total = int((plan.windows[:, 1] - plan.windows[:, 2]).sum())
    numbers = torch.empty((total, columns), device=device)
    done = 0
    with torch.inference_mode():
        for batch in batches(ids, plan, batch_rows=batch_rows, device=device):
            for part in _measure_batch(models, batch, measure, settings):
                numbers[done : done + len(part)] = part
                done += len(part)
            if progress:
                progress("scoring", done, total)
    return numbers.cpu().numpy()


def _measure_batch(
    models: Sequence[LanguageModel], batch: Batch, measure: Measure, settings: Settings
) -> Iterator[Tensor]:
    bf16 = settings.precision == "bf16"
    with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=bf16):
        hidden = [model.hidden(batch.ids, batch.documents) for model in models]
        scored = [h.flatten(0, 1)[batch.positions] for h in hidden]
        for low in range(0, len(batch.targets), _POSITIONS_AT_ONCE):
            part = slice(low, low + _POSITIONS_AT_ONCE)
            states = zip(models, scored, strict=True)
            logits = [model.logits(h[part]).float() for model, h in states]
            yield measure(logits, batch.targets[part])
