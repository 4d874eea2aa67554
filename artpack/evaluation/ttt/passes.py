"""Forward and backward passes of documents that run at once, each with its own matrices."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from artpack.evaluation.ttt.document_rows import DocumentRows
from artpack.evaluation.ttt.lora_batch import Matrices
from artpack.evaluation.ttt.recipe import Lora
from artpack.evaluation.ttt.strategy import Observer, Scores
from artpack.evaluation.ttt.temperature import TargetTemperature
from artpack.models import GPT
from artpack.runners.settings import Settings


class DocumentPass(NamedTuple):
    """
    A forward pass.

    Attributes:
        rows: What ran, one row a document.
        flat: The documents' matrices, (B, size).
        raw: Raw logits, (B, C, vocabulary).
    """

    rows: DocumentRows
    flat: Tensor
    raw: Tensor


class Passes:
    """
    Scores rows with matrices, and finds the gradient of what has been scored.

    DocumentRows are the last documents of those that the matrices are for: documents are sorted
    by their number of chunks, and those that have ended leave from the front.

    Args:
        model: On ``settings.device``.
        recipe: What is learned from, and at which temperature.
        settings: Device, precision, and how many tokens run at once.
        temperature: That of scoring.
    """

    def __init__(
        self, model: GPT, recipe: Lora, settings: Settings, temperature: TargetTemperature
    ) -> None:
        self._model, self._recipe, self._settings = model, recipe, settings
        self._temperature = temperature
        self._scored: DocumentRows | None = None
        self._done: DocumentPass | None = None

    def score(
        self, matrices: Matrices, rows: DocumentRows, *, learns: bool, observer: Observer | None
    ) -> Scores:
        """
        Score rows.

        Args:
            matrices: Of these documents, and maybe of others before them.
            rows: What is scored.
            learns: Something will be learned from it.
            observer: Shown every distribution.

        Returns:
            The scores.

        """
        self._scored = rows
        parts = list(rows.parts(self._settings.batch_tokens))
        # The forward pass that scores is the first one to learn from, unless it is the
        # average that scores, or memory forbids it.
        own = not self._recipe.polyak or self._recipe.restart_polyak
        reused = learns and own and len(parts) == 1
        columns = len(self._temperature.candidates)
        scores = [Scores(np.empty(0, np.int64), np.empty((0, columns), np.float32))]
        with matrices.scoring() as flat:
            ours = flat[len(flat) - len(rows.ids) :]
            for part in parts:
                done = self._run(matrices, ours[part], rows.part(part), learns=reused)
                scores.append(self._scores(done, observer))
                self._done = done if reused else None
        return Scores(*(np.concatenate(column) for column in zip(*scores, strict=True)))

    def backward(self, matrices: Matrices, later: int) -> float:
        """
        Put the gradient of the mean losses of scored documents into their matrices.

        Args:
            matrices: Where to.
            later: How many documents go on: the last so many.

        Returns:
            The mean over these; NaN if there are none.

        """
        assert self._scored is not None
        rows, done, flat = self._scored, self._done, matrices.low_rank.flat
        self._done = None
        flat.grad = torch.zeros_like(flat)
        if not later:
            return math.nan
        if done is not None:
            return self._descend(done, later, flat.grad[len(flat) - len(rows.ids) :]) / later
        rows, gradient, total = rows.part(slice(len(rows.ids) - later, None)), flat.grad, 0.0
        for part in rows.parts(self._settings.batch_tokens):
            done = self._run(matrices, flat[-later:][part], rows.part(part), learns=True)
            total += self._descend(done, len(done.raw), gradient[-later:][part])
        return total / later

    def _run(
        self, matrices: Matrices, flat: Tensor, rows: DocumentRows, *, learns: bool
    ) -> DocumentPass:
        flat = flat.detach().requires_grad_(learns)
        attached = matrices.low_rank.attached(flat)
        device, bf16 = torch.device(self._settings.device), self._settings.precision == "bf16"
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
        with torch.set_grad_enabled(learns), autocast:
            hidden = self._model.hidden(rows.ids, adapters=attached)
            return DocumentPass(rows, flat, self._model.raw_logits(rows.pick(hidden), attached))

    @torch.no_grad()
    def _scores(self, done: DocumentPass, observer: Observer | None) -> Scores:
        rows = done.rows
        raw, answers = done.raw[rows.valid], rows.answers[rows.valid]
        targets = rows.targets[rows.valid].cpu().numpy()
        columns = []
        for number, candidate in enumerate(self._temperature.candidates):
            logits = self._model.cooled(raw, candidate).float()
            if observer is not None and number == self._temperature.chosen:
                observer(targets, logits)
            columns.append(F.cross_entropy(logits, answers, reduction="none"))
        return Scores(targets, torch.stack(columns, dim=1).cpu().numpy())

    def _descend(self, done: DocumentPass, later: int, gradient: Tensor) -> float:
        """Write the gradient of the last documents' mean losses; return their sum."""
        temperature = self._recipe.learning_temperature
        if temperature is None:
            temperature = self._temperature.candidates[self._temperature.chosen]
        logits = self._model.cooled(done.raw[-later:], temperature).float()
        answers = done.rows.answers[-later:]
        losses = F.cross_entropy(logits.flatten(0, 1), answers.flatten(), reduction="none")
        total = losses.view_as(answers).mean(dim=1).sum()
        gradient.copy_(torch.autograd.grad(total, done.flat)[0])
        return float(total.detach())
