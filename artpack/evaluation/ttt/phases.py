"""Phases in which the model itself learns from the documents that have been scored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.tokens.documents import packed
from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.document_schedule import DocumentSchedule
from artpack.evaluation.ttt.recipe import Phased
from artpack.evaluation.ttt.strategy import Ranges, UpdateStats
from artpack.evaluation.ttt.updates import Trainer
from artpack.evaluation.windows.plan import WindowPlan
from artpack.evaluation.windows.sliding import sequential
from artpack.models import GPT
from artpack.runners.settings import Settings


@dataclass(frozen=True, eq=False)
class Phase:
    """
    Documents that the model learns from.

    Attributes:
        starts: int64 (n,), their first targets.
        lengths: int64 (n,), their targets.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def update(self) -> Ranges:
        """Return all their targets."""
        return list(zip(self.starts.tolist(), (self.starts + self.lengths).tolist(), strict=True))

    def tokens(self, ids: Tokens, *, doubled_bos: bool) -> Tokens:
        """Return the documents in a row, and the BOS after the last."""
        if not self.starts.size:
            return ids[:0]
        spans = [slice(low, high + doubled_bos) for low, high in self.update()]
        end = self.update()[-1][1]
        tail = [] if doubled_bos else [ids[end : end + 1]]
        return np.concatenate([*(ids[span] for span in spans), *tail])


def phases(schedule: DocumentSchedule, recipe: Phased) -> dict[int, Phase]:
    """
    Find out after which groups the model learns.

    Args:
        schedule: Documents in groups.
        recipe: How many documents, and in how many phases.

    Returns:
        Number of a group to the phase that follows it, at most one; none follows the last
        group, unless the recipe asks for it. A phase of less than one document is empty.

    """
    wanted = min(recipe.prefix_documents, len(schedule.starts))
    bounds = [wanted * (phase + 1) // recipe.phases for phase in range(recipe.phases)]
    found: dict[int, Phase] = {}
    scored: list[int] = []
    groups = list(schedule.groups())
    for group in groups if recipe.idle_phase else groups[:-1]:
        scored += group.members
        if wanted and len(found) < len(bounds) and len(scored) >= bounds[len(found)]:
            at = np.array(sorted(scored)[: bounds[len(found)]], np.int64)
            found[group.number] = Phase(schedule.starts[at], schedule.lengths[at])
    return found


def learn_phase(
    model: GPT, recipe: Phased, phase: Phase, stream: Stream, settings: Settings
) -> list[UpdateStats]:
    """
    Let all weights learn from some documents, chunk by chunk; nothing from the last.

    Args:
        model: Changed in place.
        recipe: How.
        phase: The documents.
        stream: Tokens.
        settings: Device, precision, and how many tokens run at once.

    Returns:
        What happened.

    """
    window = _window_tokens(recipe)
    names = [name for name, _ in model.named_parameters()]
    model.requires_grad_(requires_grad=True)
    trainer = Trainer(model, names, recipe.shared, settings)
    tokens = phase.tokens(stream.ids, doubled_bos=recipe.doubled_bos)
    length = recipe.shared_chunk_tokens
    chunks, updates = -(-(tokens.size - 1) // length), []
    for chunk in range(chunks - 1):
        rate = recipe.shared.rate(chunk, chunks)
        for _ in range(recipe.shared_epochs):
            end = (chunk * length) + length // window * window
            for low in range(chunk * length, end, recipe.batch_windows * window):
                part = tokens[low : min(low + recipe.batch_windows * window, end) + 1]
                plan = _plan(part, recipe, bos_id=stream.bos_id)
                updates.append(trainer.update(part, plan, rate))
    model.requires_grad_(requires_grad=False)
    return updates


def _window_tokens(recipe: Phased) -> int:
    window = recipe.shared_window_tokens or recipe.window_tokens
    assert window is not None
    return window


def _plan(ids: Tokens, recipe: Phased, *, bos_id: int) -> WindowPlan:
    """Lay the windows of a step into rows; all in one where they would not come out even."""
    window, tokens = _window_tokens(recipe), ids.size - 1
    if recipe.across_documents:
        return sequential(tokens, window)
    row = recipe.row_windows * window
    return packed(ids, window, tokens if tokens % row else row, bos_id=bos_id)
