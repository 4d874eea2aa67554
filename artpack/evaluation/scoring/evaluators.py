"""
Ways to score a stream, behind one door: what :mod:`~artpack.evaluation.audit` audits.

An evaluator starts from the beginning each time it is called, so calling it twice on
streams that differ tells what depends on what.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np
from torch import Tensor

from artpack.errors import UsageError
from artpack.evaluation.ngram.mixing import MIXERS, Mixer
from artpack.evaluation.scoring.forward import measure_plan
from artpack.evaluation.scoring.journal import Journal
from artpack.evaluation.scoring.observation import Observed, Pass, Recorder
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.windows.plan import WindowPlan, shard
from artpack.runners.protocol import LanguageModel
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress
from artpack.system.ranks import Ranks

_BLOCK_TARGETS = 1 << 16

Seen = TypeVar("Seen", bound=Observed)


class Evaluator(Protocol):
    """Scores a stream."""

    def __call__(self, stream: Stream, watch: Sequence[int]) -> Pass:
        """
        Score a stream from its beginning.

        Args:
            stream: The tokens.
            watch: Targets whose whole distribution is wanted.

        Returns:
            What was said of each target, and the journal of how it came about.

        """


@dataclass(frozen=True)
class Windowed:
    """
    A model that does not change, in windows.

    Attributes:
        model: On ``settings.device`` and in evaluation mode.
        place: From a stream to the windows that are run and scored.
        vocab_size: Length of a distribution.
        settings: Device, precision and batch size.
        progress: Told after every batch.
    """

    model: LanguageModel
    place: Callable[[Stream], WindowPlan]
    vocab_size: int
    settings: Settings
    progress: Progress | None = None

    def __call__(self, stream: Stream, watch: Sequence[int]) -> Pass:
        """Score a stream, as :class:`Evaluator` says."""
        plan, recorder = self.place(stream), Recorder(stream.ids, watch, self.vocab_size)
        rows = self.settings.batch_rows(plan.row_tokens)
        part = shard(plan, Ranks.current(), batch_rows=rows)
        targets, seen = part.scored_targets(), 0

        def look(logits: Sequence[Tensor], answers: Tensor) -> Tensor:
            nonlocal seen
            recorder(targets[seen : seen + len(answers)], logits[0])
            seen += len(answers)
            return logits[0].new_empty((len(answers), 0))

        measure_plan(
            [self.model],
            stream.ids,
            part,
            look,
            columns=0,
            settings=self.settings,
            progress=self.progress,
        )
        journal = Journal()
        for start, length, first in plan.windows.tolist():
            journal.scored(start + first, start + length)
        return recorder.one_pass(journal, self.settings.device)


@dataclass(frozen=True)
class Mixed:
    """
    What another evaluator says, mixed with n-grams of the stream so far.

    It goes through the stream from left to right. So must whatever the other one
    learns from; the audit finds out.

    Attributes:
        inner: The other evaluator.
        mixer: A key of :data:`~artpack.evaluation.ngram.mixing.MIXERS`.
    """

    inner: Evaluator
    mixer: str

    def __call__(self, stream: Stream, watch: Sequence[int]) -> Pass:
        """Score a stream, as :class:`Evaluator` says."""
        mixed = mix(self.inner(stream, watch), stream, MIXERS[self.mixer]())
        order = np.flatnonzero(mixed.times)
        mixed.journal.updated(0, order.size)
        return replace(mixed, order=order)


def mix(seen: Seen, stream: Stream, mixer: Mixer) -> Seen:
    """
    Mix what an evaluator said with n-grams of the stream so far.

    Args:
        seen: What it said.
        stream: The tokens that it scored.
        mixer: Fresh.

    Returns:
        The mixture, scored from left to right.

    Raises:
        UsageError: Some target was scored twice, or not at all with others after it.

    """
    scored = int(seen.times.sum())
    if (seen.times[:scored] != 1).any():
        raise UsageError(
            "n-gram mixing takes every target once, from left to right; take another placement"
        )
    log_probs, rows = np.zeros_like(seen.log_probs), np.zeros_like(seen.rows)
    watched = seen.watched[seen.watched < scored]
    # Blocks keep what mixers know of each target from filling the memory.
    edges = np.unique(np.concatenate([np.arange(0, scored, _BLOCK_TARGETS), watched, [scored]]))
    for low, high in pairwise(edges.tolist()):
        row = int(np.searchsorted(watched, low))
        if row < watched.size and watched[row] == low:
            rows[row] = mixer.distribution(seen.rows[row], seen.entropy[low])
        part = slice(low, high)
        log_probs[part] = mixer.absorb(
            stream.ids[1:][part], seen.log_probs[part], seen.entropy[part]
        )
    return replace(seen, log_probs=log_probs, rows=rows)
