"""One set of weights follows the stream: score a chunk in sliding windows, then learn from it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from artpack.errors import UsageError
from artpack.evaluation.scoring.forward import measure_plan
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.recipe import OverStream
from artpack.evaluation.ttt.recipe_windows import plan_of
from artpack.evaluation.ttt.strategy import Observer, Scores, Step, UpdateStats
from artpack.evaluation.ttt.temperature import temperature_of
from artpack.evaluation.ttt.updates import Trainer, share_batch_rows
from artpack.evaluation.windows.plan import Coverage, WindowPlan, shard
from artpack.evaluation.windows.sliding import sequential
from artpack.models import GPT, Documents
from artpack.models.linear import Weighted
from artpack.runners.settings import Settings
from artpack.system.ranks import Ranks


class StreamStrategy:
    """
    Weights that follow the stream.

    Args:
        model: Changed in place; on ``settings.device``.
        recipe: What adapts, and how; its window and stride are given.
        stream: Tokens.
        settings: Device, precision and batch size.

    Raises:
        UsageError: Nothing adapts, or a chunk is shorter than a window, which no published
            placement minds.
    """

    def __init__(self, model: GPT, recipe: OverStream, stream: Stream, settings: Settings) -> None:
        assert recipe.window_tokens is not None
        assert recipe.stride_tokens is not None
        self.temperature = temperature_of(recipe)
        self._model, self._recipe, self._ids, self._settings = model, recipe, stream.ids, settings
        if recipe.placement == "sliding" and recipe.chunk_tokens < recipe.window_tokens:
            raise UsageError(
                f"chunk_tokens {recipe.chunk_tokens} is less than a window,"
                f" {recipe.window_tokens}: nothing could be learned from a chunk"
            )
        self._plan = plan_of(recipe, stream)
        names = [name for name, _ in model.named_parameters() if recipe.adapts(model.config, name)]
        if not names:
            raise UsageError("no tensor of this model adapts: see the recipe's tensors")
        model.requires_grad_(requires_grad=False)
        self._trainer = Trainer(model, names, recipe.rule, settings)
        for parameter in self._trainer.parameters.values():
            parameter.requires_grad_()
        self._chunk = (self._plan.windows[:, 0] + self._plan.windows[:, 2]) // recipe.chunk_tokens
        ends = self._plan.windows[:, 0] + self._plan.windows[:, 1]
        self._chunks = -(-int(ends.max(initial=1)) // recipe.chunk_tokens)

    def coverage(self) -> Coverage:
        """Return what all steps score, in numbers."""
        return self._plan.coverage()

    def steps(self) -> Iterator[Step]:
        """
        Yield one step a chunk; nothing is learned from the last.

        A window belongs to the chunk of its first scored target. A chunk without windows,
        whose targets have all been scored in another's, is left out.
        """
        window, length = self._recipe.window_tokens, self._recipe.chunk_tokens
        for chunk in np.unique(self._chunk).tolist():
            windows = self._plan.windows[self._chunk == chunk]
            rows = np.arange(len(windows))
            plan = WindowPlan(self._plan.targets, self._plan.row_tokens, windows, rows)
            first = chunk * length
            whole = length // (window or length) * (window or length)
            learns = whole and self._recipe.epochs > 0 and chunk < self._chunks - 1
            yield Step(plan, [(first, first + whole)] if learns else [], chunk, rests=True)

    def score(self, step: Step, observer: Observer | None) -> Scores:
        """Score this process's share of a chunk."""
        rows = share_batch_rows(step.plan, self._settings)
        part = shard(step.plan, Ranks.current(), batch_rows=rows)
        targets, temperature = part.scored_targets(), self.temperature
        seen = 0

        def measure(raw: Tensor, answers: Tensor) -> Tensor:
            nonlocal seen
            columns = []
            for number, candidate in enumerate(temperature.candidates):
                logits = self._model.cooled(raw, candidate)
                if observer is not None and number == temperature.chosen:
                    observer(targets[seen : seen + len(answers)], logits)
                columns.append(F.cross_entropy(logits, answers, reduction="none"))
            seen += len(answers)
            return torch.stack(columns, dim=1)

        losses = measure_plan(
            [_Raw(self._model)],
            self._ids,
            part,
            lambda raw, answers: measure(raw[0], answers),
            columns=len(temperature.candidates),
            settings=self._settings,
        )
        return Scores(targets, losses)

    def learn(self, step: Step) -> list[UpdateStats]:
        """Learn from a chunk that has been scored."""
        recipe, window = self._recipe, self._recipe.window_tokens
        assert window is not None
        rate, updates = recipe.rule.rate(step.place, self._chunks), []
        first, end = step.update[0]
        batch = window * (recipe.batch_windows or (end - first))
        temperature = recipe.learning_temperature
        if temperature is None:
            temperature = self.temperature.candidates[self.temperature.chosen]
        with _off_grid(self._model, off=recipe.off_grid):
            for _ in range(recipe.epochs):
                for low in range(first, end, batch):
                    part = self._ids[low : min(low + batch, end) + 1]
                    plan = sequential(part.size - 1, window)
                    update = self._trainer.update(
                        part, plan, rate, temperature=temperature, z_loss=recipe.z_loss
                    )
                    updates.append(update)
        return updates

    def state(self) -> dict[str, Tensor]:
        """Return the weights that adapt and their optimizer's state."""
        weights = {f"weights.{name}": p.detach() for name, p in self._trainer.parameters.items()}
        rule = {f"rule.{name}": t for name, t in self._trainer.optimizer.state().items()}
        return weights | rule

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take a state over."""
        for name, parameter in self._trainer.parameters.items():
            parameter.data.copy_(state[f"weights.{name}"])
        own = {name[5:]: t for name, t in state.items() if name.startswith("rule.")}
        self._trainer.optimizer.load(own)


class _Raw:
    """A model whose logits are not yet bounded and cooled."""

    def __init__(self, model: GPT) -> None:
        self._model = model

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """Return the model's hidden states."""
        return self._model.hidden(ids, documents)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return its raw logits."""
        return self._model.raw_logits(hidden)


@contextmanager
def _off_grid(model: GPT, *, off: bool) -> Iterator[None]:
    """Run the model with its weights as they are, if so."""
    modules = [m for m in model.modules() if isinstance(m, Weighted)] if off else []
    grids = [module.grid for module in modules]
    for module in modules:
        module.grid = None
    try:
        yield
    finally:
        for module, grid in zip(modules, grids, strict=True):
            module.grid = grid
