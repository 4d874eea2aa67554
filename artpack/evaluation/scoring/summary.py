"""
Scores: the sums of documents, and the numbers that they make.

Everything is summed per document in float64. The documents' sums are what ranks
exchange and what the bootstrap draws from, so errors allow for tokens of one document
being alike.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artpack.errors import ScoreError, UsageError
from artpack.evaluation.scoring.estimate import Estimate, Sums, bootstrap_errors
from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.windows.plan import Coverage


@dataclass(frozen=True)
class Score:
    """
    What a model scored.

    Attributes:
        loss_nats: Mean loss per scored token.
        bits_per_byte: Loss in bits over the bytes of text that the scored tokens
            stand for; targets scored repeatedly count repeatedly in both.
        loss_sum_nats: Sum of the losses.
        bytes: Those bytes.
        documents: How many documents the scored tokens come from.
        coverage: What was scored and what was not.
    """

    loss_nats: Estimate
    bits_per_byte: Estimate
    loss_sum_nats: float
    bytes: int
    documents: int
    coverage: Coverage


def score_losses(
    losses: NDArray[np.floating[Any]],
    targets: NDArray[np.int64],
    ids: Tokens,
    byte_counts: NDArray[np.int64],
    *,
    coverage: Coverage,
    bos_id: int = 1,
) -> Score:
    """
    Sum up losses that were measured already, such as by a model that learns on the way.

    Args:
        losses: Nats, shape (scored,).
        targets: The target of each, shape (scored,): target i is token i + 1.
        ids: The stream, shape (N,).
        byte_counts: Bytes that each token of the stream stands for, shape (N,).
        coverage: What was scored.
        bos_id: The id that starts a document.

    Returns:
        Loss and bits per byte with standard errors.

    Raises:
        UsageError: There is not one byte count per token, or the targets stand for no text.
        ScoreError: One of the losses is no finite number.

    """
    check_byte_counts(ids, byte_counts, np.bincount(targets, minlength=ids.size - 1))
    check_losses(targets, losses)
    sums = document_sums(ids, byte_counts, bos_id, targets, losses[:, None])
    return score_of_sums(sums[sums[:, 0] > 0], coverage)


def score_of_sums(sums: Sums, coverage: Coverage) -> Score:
    """
    Make a score of sums of documents.

    Args:
        sums: Tokens, bytes and nats of each document with scores, shape (documents, 3).
        coverage: What was scored.

    Returns:
        Loss and bits per byte with standard errors.

    Raises:
        UsageError: What was scored stands for no text.

    """
    if not sums[:, 1].any():
        raise UsageError("the scored tokens stand for no text; score more of the stream")
    errors = bootstrap_errors(sums, lambda total: score_numbers(total, 2))
    return summed_score(sums.sum(0), 2, errors, len(sums), coverage)


def check_losses(targets: NDArray[np.int64], losses: NDArray[np.floating[Any]]) -> None:
    """
    Check that what was measured are numbers.

    Args:
        targets: What was scored, shape (scored,): target i is token i + 1.
        losses: What was measured at each, shape (scored,) or (scored, columns).

    Raises:
        ScoreError: One of them is NaN or infinite.

    """
    rows = losses if losses.ndim > 1 else losses[:, None]
    wrong = ~np.isfinite(rows).all(axis=1)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ScoreError(
            f"target {targets[at]:,} and {int(wrong.sum()) - 1:,} more score"
            f" {', '.join(map(str, rows[at].tolist()))}: the model computes no finite numbers there"
        )


def document_sums(
    ids: Tokens,
    byte_counts: NDArray[np.int64],
    bos_id: int,
    targets: NDArray[np.int64],
    numbers: NDArray[np.floating[Any]],
) -> Sums:
    """
    Sum what was measured over each document.

    Args:
        ids: The stream, shape (N,).
        byte_counts: Bytes that each token of the stream stands for, shape (N,).
        bos_id: The id that starts a document.
        targets: What was scored, shape (scored,): target i is token i + 1.
        numbers: What was measured at each, shape (scored, columns).

    Returns:
        Scored tokens, their bytes and each column, shape (documents, 2 + columns).

    """
    document = np.cumsum(ids[:-1] == bos_id)
    weights = [np.ones(len(targets)), byte_counts[targets + 1], *numbers.T]
    shares = [np.bincount(document[targets], w, document[-1] + 1) for w in weights]
    return np.stack(shares, axis=1)


def check_byte_counts(
    ids: Tokens, byte_counts: NDArray[np.int64], times_scored: NDArray[np.int64]
) -> None:
    """
    Check that there is something to divide by.

    Args:
        ids: The stream, shape (N,).
        byte_counts: Bytes that each token of the stream stands for.
        times_scored: How often each target is scored, shape (N - 1,).

    Raises:
        UsageError: There is not one count per token, one is negative or no integer, or
            what is scored stands for no text.

    """
    if byte_counts.shape != ids.shape:
        raise UsageError(f"{byte_counts.size} byte counts for {ids.size} tokens")
    if byte_counts.dtype.kind not in "iu" or byte_counts.min(initial=0) < 0:
        raise UsageError("byte counts must be integers that are not negative")
    if not byte_counts[1:][times_scored > 0].any():
        raise UsageError("the scored tokens stand for no text; score more of the stream")


def score_numbers(total: Sums, column: int) -> Sums:
    """
    Return loss and bits per byte of summed losses.

    Args:
        total: Sums of documents, shape (..., columns).
        column: Where the losses are.

    Returns:
        Nats per token and bits per byte, shape (..., 2).

    """
    tokens, text_bytes, loss = total[..., 0], total[..., 1], total[..., column]
    return np.stack([loss / tokens, loss / (math.log(2) * text_bytes)], axis=-1)


def summed_score(
    total: Sums, column: int, errors: list[float | None], documents: int, coverage: Coverage
) -> Score:
    """
    Put a score together.

    Args:
        total: The sum over all documents, shape (columns,).
        column: Where the losses are.
        errors: Of loss and bits per byte.
        documents: How many there are.
        coverage: What was scored.

    Returns:
        The score.

    """
    loss, bits = score_numbers(total, column)
    return Score(
        loss_nats=Estimate(float(loss), errors[0]),
        bits_per_byte=Estimate(float(bits), errors[1]),
        loss_sum_nats=float(total[column]),
        bytes=int(total[1]),
        documents=documents,
        coverage=coverage,
    )
