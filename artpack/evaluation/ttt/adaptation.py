"""
The loop of every adapting evaluation: score, write it down, and only then learn.

Nothing else learns or is scored. Strategies say what a step scores and what is learned
from afterwards; whether they tell the truth is for the audit to find out, by changing
tokens and looking at the distributions.
"""

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event

import numpy as np
import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.evaluation.scoring.journal import Journal
from artpack.evaluation.scoring.summary import Score, score_of_sums
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.lora import Draw, uniform
from artpack.evaluation.ttt.over_stream import StreamStrategy
from artpack.evaluation.ttt.per_document import DocumentStrategy
from artpack.evaluation.ttt.recipe import AnyRecipe, Lora
from artpack.evaluation.ttt.running_score import ScorePoint, Tally, running
from artpack.evaluation.ttt.saved_state import Keeper
from artpack.evaluation.ttt.strategy import Observer, Step, Strategy, UpdateStats
from artpack.models import GPT
from artpack.runners.settings import REFERENCE, Settings
from artpack.stages import Config
from artpack.stages.progress import Progress
from artpack.system.ranks import Ranks, sum_over_ranks
from artpack.system.stopping import stop_flag
from artpack.version import __version__


@dataclass(frozen=True, eq=False)
class Adapted:
    """
    What came of an adapting evaluation.

    Attributes:
        score: Of all targets, each as it was when its turn came.
        journal: What was scored and learned from, in order.
        curve: Where it stood, at every rest.
        updates: Every change of parameters.
        model: The model after the last update.
        sums: Tokens, bytes and nats of each document with scores, float64 (documents, 3).
        resumed_steps: How many steps were taken over from a state; 0 if all were run.
    """

    score: Score
    journal: Journal
    curve: list[ScorePoint]
    updates: list[UpdateStats]
    model: GPT
    sums: np.ndarray
    resumed_steps: int = 0


def adapt(
    model: GPT,
    stream: Stream,
    recipe: AnyRecipe,
    *,
    settings: Settings = REFERENCE,
    progress: Progress | None = None,
    observer: Observer | None = None,
    state: Path | None = None,
    draw: Draw = uniform,
) -> Adapted:
    """
    Score a stream with a model that learns from what it has scored.

    In a torch process group each process scores its share, all learn the same, and all
    return the same score; the result does not depend on how many there are.

    Args:
        model: On ``settings.device``; it stays as it is, a copy learns.
        stream: Tokens and their bytes.
        recipe: How it learns; window and stride are given.
        settings: Device, precision and batch size.
        progress: Told where the evaluation rests, with the score so far.
        observer: Shown every distribution.
        state: A file that the state is kept in, and taken up from if it is there.
        draw: Where the input matrices of low-rank products come from.

    Returns:
        The score and how it came about.

    Raises:
        UsageError: The recipe does not fit the model, or the state another evaluation.
        ScoreError: Some score is no finite number.
        KeyboardInterrupt: A signal to stop came; with a state, it has been written.

    """
    if stream.ids.size < 2:
        raise UsageError("nothing to score: the stream has fewer than two tokens")
    keeper = None
    if state is not None:
        keeper = Keeper(state, _fingerprint(model, stream, recipe, settings))
    own = copy.deepcopy(model)
    own.longest_tokens = 0
    strategy: Strategy
    if isinstance(recipe, Lora):
        strategy = DocumentStrategy(own, recipe, stream, settings, draw)
    else:
        strategy = StreamStrategy(own, recipe, stream, settings)
    run = _Run(strategy, stream, settings, progress, observer)
    resumed = run.go(keeper)
    sums = sum_over_ranks(run.tally.sums, device=settings.device)
    sums = sums[sums[:, 0] > 0]
    score = score_of_sums(sums, strategy.coverage())
    return Adapted(score, run.journal, run.curve, run.updates, own, sums, resumed)


class _Run:
    def __init__(
        self,
        strategy: Strategy,
        stream: Stream,
        settings: Settings,
        progress: Progress | None,
        observer: Observer | None,
    ) -> None:
        self._strategy, self._device = strategy, settings.device
        self._progress, self._observer = progress, observer
        self._total = strategy.coverage().scored
        self.tally, self.journal = Tally(stream), Journal()
        self.curve: list[ScorePoint] = []
        self.updates: list[UpdateStats] = []
        self._tried = np.zeros(len(strategy.temperature.candidates))
        self._unfitted: list[tuple[int, int]] = []
        self._started, self._before = time.monotonic(), 0.0

    def go(self, keeper: Keeper | None) -> int:
        """Take all steps that have not been taken; return how many had been."""
        if keeper is None:
            for step in self._strategy.steps():
                self._take(step)
                if step.rests:
                    self._rest()
            return 0
        with stop_flag() as stopped:
            done = self._resume(keeper)
            self._go_on(done, keeper, stopped)
        keeper.remove()
        return done

    def _go_on(self, done: int, keeper: Keeper, stopped: Event) -> None:
        for number, step in enumerate(self._strategy.steps(), start=1):
            if number <= done:
                continue
            self._take(step)
            if not step.rests:
                continue
            self._rest()
            stop = self._agreed(stopped.is_set())
            if stop or self._agreed(keeper.is_due()):
                keeper.write(number, self._state())
            if stop:
                raise KeyboardInterrupt

    def _resume(self, keeper: Keeper) -> int:
        """Take up what was kept and return how many steps are done."""
        kept = keeper.read()
        steps = 0 if kept is None else kept[0]
        together = sum_over_ranks(np.array([float(steps)]), device=self._device)
        if together[0] != steps * Ranks.current().world:
            raise UsageError("the processes kept states of different steps: delete their files")
        if kept is not None:
            try:
                self._load(kept[1])
            except (KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
                raise UsageError(f"the state does not fit this evaluation: {error}") from error
        return steps

    def _agreed(self, mine: bool) -> bool:  # noqa: FBT001 - one process's vote
        """Return whether any process says so."""
        return bool(sum_over_ranks(np.array([float(mine)]), device=self._device)[0])

    def _take(self, step: Step) -> None:
        temperature = self._strategy.temperature
        scores = self._strategy.score(step, self._observer)
        self.tally.add(scores.targets, scores.losses[:, temperature.chosen])
        for first, end in step.scored():
            self.journal.scored(first, end)
            self._unfitted.append((first, end))
        self._tried += scores.losses.sum(axis=0, dtype=np.float64)
        if step.update:
            self.updates += self._strategy.learn(step)
            for first, end in step.update:
                self.journal.updated(first, end)

    def _rest(self) -> None:
        temperature = self._strategy.temperature
        used = temperature.candidates[temperature.chosen]
        total = sum_over_ranks(self.tally.sums.sum(axis=0), device=self._device)
        scored, nats, bits = running(total)
        rate = self.updates[-1].rate if self.updates else 0.0
        point = ScorePoint(scored, nats, bits, rate, used, self._seconds())
        self.curve.append(point)
        if temperature.learns:
            temperature.learn(sum_over_ranks(self._tried, device=self._device))
            for first, end in self._unfitted:
                self.journal.updated(first, end)
        self._tried[:] = 0
        self._unfitted.clear()
        if self._progress is not None:
            self._progress("scoring", scored, self._total, point.said)

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def _state(self) -> dict[str, Tensor]:
        parts = {
            "strategy": self._strategy.state(),
            "temperature": self._strategy.temperature.state(),
        }
        state = {f"{part}.{name}": t for part, ts in parts.items() for name, t in ts.items()}
        points = [list(astuple(point)) for point in self.curve]
        arrays = {
            "sums": self.tally.sums,
            "journal": self.journal.entries(),
            "curve": np.array(points, np.float64),
            "updates": np.array(self.updates, np.float64).reshape(-1, 3),
        }
        return state | {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _load(self, state: Mapping[str, Tensor]) -> None:
        self._strategy.load(_part(state, "strategy."))
        self._strategy.temperature.load(_part(state, "temperature."))
        self.tally.sums[:] = state["sums"].numpy()
        self.journal.extend(state["journal"].numpy())
        for scored, *rest in state["curve"].tolist():
            nats, bits, rate, used, seconds = rest
            temperature = None if math.isnan(used) else used
            self.curve.append(ScorePoint(int(scored), nats, bits, rate, temperature, seconds))
        self.updates += [UpdateStats(*numbers) for numbers in state["updates"].tolist()]
        self._before = self.curve[-1].seconds


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def _fingerprint(model: GPT, stream: Stream, recipe: AnyRecipe, settings: Settings) -> Config:
    weights, tokens = sha256(), sha256()
    for name, tensor in model.state_dict().items():
        weights.update(name.encode())
        weights.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    for array in (stream.ids.astype(np.uint32), stream.byte_counts):
        tokens.update(np.ascontiguousarray(array).data)
    return {
        "recipe": recipe.to_json(),
        "model": model.config.to_json(),
        "weights": weights.hexdigest(),
        "tokens": tokens.hexdigest(),
        "precision": settings.precision,
        "artpack": __version__,
    }
