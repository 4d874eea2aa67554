"""Every document adapts low-rank matrices of its own; the model may learn from them in phases."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.document_rows import lay_rows
from artpack.evaluation.ttt.document_schedule import DocumentGroup, DocumentSchedule
from artpack.evaluation.ttt.lora import Draw, uniform
from artpack.evaluation.ttt.lora_batch import Matrices
from artpack.evaluation.ttt.passes import Passes
from artpack.evaluation.ttt.phases import Phase, learn_phase, phases
from artpack.evaluation.ttt.recipe import Lora, Phased
from artpack.evaluation.ttt.recipe_windows import plan_of
from artpack.evaluation.ttt.strategy import Observer, Scores, Step, UpdateStats
from artpack.evaluation.ttt.temperature import temperature_of
from artpack.evaluation.windows.plan import Coverage, WindowPlan
from artpack.models import GPT
from artpack.runners.settings import Settings
from artpack.system.ranks import Ranks


class Place(NamedTuple):
    """A chunk of a group of documents."""

    group: DocumentGroup
    chunk: int


class DocumentStrategy:
    """
    Low-rank matrices for each document, and the model they are added to.

    Args:
        model: On ``settings.device``; changed in place if the recipe has phases.
        recipe: What adapts, and how; its window is given.
        stream: Tokens.
        settings: Device and precision.
        draw: Where input matrices come from.
    """

    def __init__(
        self,
        model: GPT,
        recipe: Lora,
        stream: Stream,
        settings: Settings,
        draw: Draw = uniform,
    ) -> None:
        assert recipe.window_tokens is not None
        self.temperature = temperature_of(recipe)
        self._model, self._recipe, self._stream, self._settings = model, recipe, stream, settings
        self._window, self._draw = recipe.window_tokens, draw
        self._schedule = DocumentSchedule.of(stream, recipe)
        self._phases = phases(self._schedule, recipe) if isinstance(recipe, Phased) else {}
        model.requires_grad_(requires_grad=False)
        self._kept = self._fresh(recipe.documents) if recipe.keep_inputs else None
        self._matrices = self._kept
        self._passes = Passes(model, recipe, settings, self.temperature)

    def coverage(self) -> Coverage:
        """Return what all steps score, in numbers."""
        return plan_of(self._recipe, self._stream).coverage()

    def steps(self) -> Iterator[Step]:
        """Yield one step a chunk of each group, and one a phase."""
        recipe, targets = self._recipe, self._stream.ids.size - 1
        for group in self._schedule.groups():
            last = int(group.chunks[-1]) - 1
            for chunk in range(last + 1):
                windows = group.windows(chunk, recipe.chunk_tokens, self._window)
                plan = WindowPlan(targets, self._row(chunk), windows, np.arange(len(windows)))
                update = group.update(chunk, recipe.chunk_tokens) if recipe.epochs else []
                yield Step(plan, update, Place(group, chunk), rests=chunk == last)
            if group.number in self._phases:
                phase = self._phases[group.number]
                nothing = WindowPlan(targets, 1, np.empty((0, 3), np.int64), np.empty(0, np.int64))
                yield Step(nothing, phase.update(), phase, rests=True)

    def score(self, step: Step, observer: Observer | None) -> Scores:
        """Score a chunk of this process's documents of a group."""
        if isinstance(step.place, Phase):
            # After a phase, even one without documents, no group starts with another's matrices.
            self._kept = self._fresh(self._recipe.documents) if self._recipe.keep_inputs else None
            columns = len(self.temperature.candidates)
            return Scores(np.empty(0, np.int64), np.empty((0, columns), np.float32))
        group, chunk = step.place
        if chunk == 0:
            self._begin(group)
        windows = _share(group).windows(chunk, self._recipe.chunk_tokens, self._window)
        rows = lay_rows(self._stream.ids, windows, step.plan.row_tokens, self._settings.device)
        learns = bool(step.update)
        return self._passes.score(self._ready(), rows, learns=learns, observer=observer)

    def learn(self, step: Step) -> list[UpdateStats]:
        """Learn from a chunk that has been scored, or a phase's documents."""
        if isinstance(step.place, Phase):
            return self._learn_phase(step.place)
        group, chunk = step.place
        rates, updates, matrices = self._rates(group, chunk), [], self._ready()
        later = int((_share(group).chunks - 1 > chunk).sum())
        for _ in range(self._recipe.epochs):
            loss = self._passes.backward(matrices, later)
            norms = matrices.step(rates)
            rate = float(torch.as_tensor(rates).mean())
            updates.append(UpdateStats(rate, loss, float(norms.square().sum().sqrt())))
        matrices.end_chunk()
        return updates

    def state(self) -> dict[str, Tensor]:
        """Return the model's weights if they learn, and matrices that are kept."""
        state = {}
        if self._phases:
            state = {f"weights.{name}": p.detach() for name, p in self._model.named_parameters()}
        if self._kept is not None:
            state["kept"] = self._kept.low_rank.flat.detach()
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take a state over."""
        if self._phases:
            for name, parameter in self._model.named_parameters():
                parameter.data.copy_(state[f"weights.{name}"])
        if self._kept is not None:
            self._kept.low_rank.flat.data.copy_(state["kept"])

    def _learn_phase(self, phase: Phase) -> list[UpdateStats]:
        assert isinstance(self._recipe, Phased)
        return learn_phase(self._model, self._recipe, phase, self._stream, self._settings)

    def _begin(self, group: DocumentGroup) -> None:
        """Make ready the matrices of a group."""
        size = len(group.starts)
        if self._kept is not None and size == self._recipe.documents:
            self._matrices = self._kept
            self._kept.low_rank.restart_outputs()
        else:
            self._matrices = self._fresh(size)
        self._matrices.begin()

    def _fresh(self, documents: int) -> Matrices:
        """Return new matrices of this process's share of so many documents."""
        ranks = Ranks.current()
        mine = slice(ranks.rank, None, ranks.world)
        own = len(range(documents)[mine])
        matrices = Matrices(self._recipe, self._model.config, own, self._settings.device)
        matrices.low_rank.start(self._draw, documents, mine)
        return matrices

    def _ready(self) -> Matrices:
        """Return the matrices of the group that is under way."""
        assert self._matrices is not None
        return self._matrices

    def _rates(self, group: DocumentGroup, chunk: int) -> float | Tensor:
        rule, share = self._recipe.rule, _share(group)
        if self._recipe.joint or rule.schedule == "constant":
            return rule.rate(chunk, int(group.chunks[-1]))
        rates = [rule.rate(min(chunk, n - 1), n) for n in share.chunks.tolist()]
        return torch.tensor(rates, device=self._settings.device)

    def _row(self, chunk: int) -> int:
        """Return the length of rows: as short as can be, unless the model would be another."""
        ntk = None if self._recipe.short_rows else self._model.config.rope.ntk
        if ntk is not None and ntk.window_tokens is None and self._window > ntk.reference_tokens:
            return self._window
        return min((chunk + 1) * self._recipe.chunk_tokens, self._window)


def _share(group: DocumentGroup) -> DocumentGroup:
    ranks = Ranks.current()
    return group.share(ranks.rank, ranks.world)
