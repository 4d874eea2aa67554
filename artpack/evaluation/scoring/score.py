"""
Loss and bits per byte of a model, and how far a packed model is from its baseline.

:mod:`~artpack.evaluation.scoring.summary` turns measurements into scores with errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from artpack.errors import UsageError
from artpack.evaluation.scoring.estimate import Estimate, Sums, bootstrap_errors
from artpack.evaluation.scoring.forward import Measure, measure_plan
from artpack.evaluation.scoring.summary import (
    Score,
    check_byte_counts,
    check_losses,
    document_sums,
    score_numbers,
    score_of_sums,
    summed_score,
)
from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.windows.plan import WindowPlan, shard
from artpack.runners.protocol import LanguageModel
from artpack.runners.settings import REFERENCE, Settings
from artpack.stages.progress import Progress
from artpack.system.ranks import Ranks, sum_over_ranks


@dataclass(frozen=True)
class Comparison:
    """
    A packed model beside its baseline, on the same tokens in the same run.

    Attributes:
        baseline: The baseline's score.
        packed: The packed model's score.
        bits_per_byte_increase: Packed minus baseline, error of the paired difference.
        kl_nats: Mean KL(baseline || packed) per scored token.
        top1_agreement: Share of scored tokens where both find the same id likeliest.
    """

    baseline: Score
    packed: Score
    bits_per_byte_increase: Estimate
    kl_nats: Estimate
    top1_agreement: Estimate


def score(
    model: LanguageModel,
    ids: Tokens,
    plan: WindowPlan,
    byte_counts: NDArray[np.int64],
    *,
    settings: Settings = REFERENCE,
    bos_id: int = 1,
    progress: Progress | None = None,
) -> Score:
    """
    Score a model.

    In a torch process group each process runs its share and all return the same.

    Args:
        model: On ``settings.device`` and in evaluation mode.
        ids: The stream that the plan was made for, shape (N,).
        plan: What to run and what to score.
        byte_counts: Bytes that each token of the stream stands for, shape (N,).
        settings: Device, precision and batch size.
        bos_id: The id that starts a document.
        progress: Told after every batch.

    Returns:
        Loss and bits per byte with standard errors.

    Raises:
        UsageError: Plan, stream and byte counts do not fit each other, or the plan
            scores nothing that stands for text.
        ScoreError: Some score is no finite number.

    """
    stream = Stream(ids, byte_counts, bos_id)
    sums = score_documents(model, stream, plan, settings=settings, progress=progress)
    return score_of_sums(sums, plan.coverage())


def score_documents(
    model: LanguageModel,
    stream: Stream,
    plan: WindowPlan,
    *,
    settings: Settings = REFERENCE,
    progress: Progress | None = None,
) -> Sums:
    """
    Score a model document by document, to be compared with other scores of them.

    Args:
        model: On ``settings.device`` and in evaluation mode.
        stream: Tokens and their bytes.
        plan: What to run and what to score.
        settings: Device, precision and batch size.
        progress: Told after every batch.

    Returns:
        Tokens, bytes and nats of each document with scores, float64 (documents, 3).

    Raises:
        UsageError: Plan and stream do not fit each other, or the plan scores nothing
            that stands for text.
        ScoreError: Some score is no finite number.

    """
    run = _Run(stream.ids, plan, stream.byte_counts, settings, stream.bos_id, progress)
    return run.document_sums([model], _losses, columns=1)


def compare(
    baseline: LanguageModel,
    packed: LanguageModel,
    ids: Tokens,
    plan: WindowPlan,
    byte_counts: NDArray[np.int64],
    *,
    settings: Settings = REFERENCE,
    bos_id: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """
    Score two models on the same tokens and say how far apart they are.

    Args:
        baseline: The unpacked model.
        packed: The model out of the artifact.
        ids: The stream that the plan was made for, shape (N,).
        plan: What to run and what to score.
        byte_counts: Bytes that each token of the stream stands for, shape (N,).
        settings: Device, precision and batch size.
        bos_id: The id that starts a document.
        progress: Told after every batch.

    Returns:
        Both scores and their differences, with standard errors of the differences.

    Raises:
        UsageError: Plan, stream and byte counts do not fit each other, or the plan
            scores nothing that stands for text.
        ScoreError: Some score is no finite number.

    """
    run = _Run(ids, plan, byte_counts, settings, bos_id, progress)
    sums = run.document_sums([baseline, packed], _differences, columns=4)
    total, count, coverage = sums.sum(0), len(sums), plan.coverage()
    errors = bootstrap_errors(sums, _comparison_numbers)
    increase, kl, agreement = (
        Estimate(float(value), error)
        for value, error in zip(_comparison_numbers(total)[4:], errors[4:], strict=True)
    )
    return Comparison(
        summed_score(total, 2, errors[:2], count, coverage),
        summed_score(total, 3, errors[2:4], count, coverage),
        increase,
        kl,
        agreement,
    )


@dataclass(frozen=True)
class _Run:
    ids: Tokens
    plan: WindowPlan
    byte_counts: NDArray[np.int64]
    settings: Settings
    bos_id: int
    progress: Progress | None

    def document_sums(
        self, models: Sequence[LanguageModel], measure: Measure, *, columns: int
    ) -> Sums:
        """Return tokens, bytes and the measure's columns of every document with scores."""
        _check_stream(self.ids, self.plan)
        check_byte_counts(self.ids, self.byte_counts, self.plan.times_scored())
        part = shard(
            self.plan, Ranks.current(), batch_rows=self.settings.batch_rows(self.plan.row_tokens)
        )
        numbers = measure_plan(
            models,
            self.ids,
            part,
            measure,
            columns=columns,
            settings=self.settings,
            progress=self.progress,
        )
        scored = part.scored_targets()
        check_losses(scored, numbers)
        shares = document_sums(self.ids, self.byte_counts, self.bos_id, scored, numbers)
        sums = sum_over_ranks(shares, device=self.settings.device)
        return sums[sums[:, 0] > 0]


def _check_stream(ids: Tokens, plan: WindowPlan) -> None:
    if ids.size != plan.targets + 1:
        raise UsageError(f"the plan is for {plan.targets + 1} tokens, the stream has {ids.size}")


def _losses(logits: Sequence[Tensor], targets: Tensor) -> Tensor:
    return F.cross_entropy(logits[0], targets, reduction="none")[:, None]


def _differences(logits: Sequence[Tensor], targets: Tensor) -> Tensor:
    baseline, packed = (part.log_softmax(-1) for part in logits)
    at = targets[:, None]
    kl = (baseline.exp() * (baseline - packed)).sum(-1, keepdim=True)
    same = (baseline.argmax(-1, keepdim=True) == packed.argmax(-1, keepdim=True)).float()
    return torch.cat([-baseline.gather(1, at), -packed.gather(1, at), kl, same], dim=1)


def _comparison_numbers(total: Sums) -> Sums:
    baseline, packed = score_numbers(total, 2), score_numbers(total, 3)
    increase = packed[..., 1:] - baseline[..., 1:]
    means = total[..., 4:] / total[..., :1]
    return np.concatenate([baseline, packed, increase, means], axis=-1)
