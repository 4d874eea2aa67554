"""Scores equal a slow loop in float64, and their errors are those of the documents."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artpack.errors import ScoreError, UsageError
from artpack.evaluation.scoring.score import compare, score
from artpack.evaluation.tokens.documents import by_document
from artpack.evaluation.windows.plan import WindowPlan, share_rows
from artpack.evaluation.windows.sliding import rescored_tail, sequential, sliding
from artpack.runners.settings import Settings
from tests.token_losses import token_losses

V = 50
IDS = np.random.default_rng(0).integers(2, V, 400).astype(np.uint16)
IDS[[0, 31, 90, 222, 223]] = 1
BYTES = np.where(IDS == 1, 0, 1 + IDS % 5).astype(np.int64)
PLANS = {
    "sequential": sequential(399, 64),
    "sliding": sliding(399, 64, 16),
    "rescored": rescored_tail(399, 64, 16),
    "documents": by_document(IDS, 64, 16),
    "documents in shared rows": share_rows(by_document(IDS, 64, 16)),
    "tokens one by one": sliding(399, 8, 1),
}
Maker = Callable[..., Any]


def slow_logits(model: Any, plan: WindowPlan) -> tuple[NDArray[np.float64], list[int]]:
    """Return logits in float64 and the targets, window by window."""
    table = model.table.detach().double().numpy()
    readout = model.readout.detach().double().numpy()
    logits, targets = [], []
    for start, length, first in plan.windows.tolist():
        state = np.zeros(table.shape[1])
        for i in range(length):
            state = table[IDS[start + i]] + state / 2
            if i >= first:
                logits.append(readout @ state)
                targets.append(int(IDS[start + i + 1]))
    return np.array(logits), targets


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


@pytest.mark.parametrize("name", PLANS)
def test_a_score_is_the_slow_loop(name: str, fading: Maker) -> None:
    model, plan = fading(V), PLANS[name]
    logits, targets = slow_logits(model, plan)
    losses = -log_softmax(logits)[np.arange(len(targets)), targets]
    got = score(model, IDS, plan, BYTES, settings=Settings(batch_tokens=200))
    text = BYTES[1:][plan.scored_targets()].sum()
    assert got.loss_nats.value == pytest.approx(losses.mean(), abs=1e-6)
    assert got.bits_per_byte.value == pytest.approx(losses.sum() / math.log(2) / text, abs=1e-6)
    assert (got.bytes, got.coverage, got.documents) == (text, plan.coverage(), 5)
    np.testing.assert_allclose(token_losses(model, IDS, plan), losses, atol=2e-6)


def test_only_scored_positions_reach_the_vocabulary(fading: Maker) -> None:
    model = fading(V)
    score(model, IDS, PLANS["sliding"], BYTES)
    assert model.projected == 399
    assert PLANS["sliding"].coverage().forward_tokens > 3 * 399


def test_a_stride_of_one_window_scores_exactly_the_sequential_loss(fading: Maker) -> None:
    model = fading(V)
    plain = score(model, IDS, sequential(399, 48), BYTES)
    assert score(model, IDS, sliding(399, 48, 48), BYTES) == plain


@pytest.mark.parametrize("batch_tokens", [1, 64, 130, 100_000])
def test_the_batch_size_does_not_matter(batch_tokens: int, fading: Maker) -> None:
    model, plan = fading(V), PLANS["documents in shared rows"]
    whole = score(model, IDS, plan, BYTES)
    parts = score(model, IDS, plan, BYTES, settings=Settings(batch_tokens=batch_tokens))
    assert parts.loss_sum_nats == pytest.approx(whole.loss_sum_nats, rel=1e-7)


def test_windows_in_documents_score_as_if_each_document_were_alone(fading: Maker) -> None:
    model = fading(V)
    edges = [0, 31, 90, 222, 223, 399]
    alone = [token_losses(model, IDS[a : b + 1], sequential(b - a, 64)) for a, b in pairwise(edges)]
    together = token_losses(model, IDS, share_rows(by_document(IDS, 64, 64)))
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)


def test_bf16_is_autocast_and_close(fading: Maker) -> None:
    model, plan = fading(V), PLANS["sliding"]
    exact = score(model, IDS, plan, BYTES)
    rough = score(model, IDS, plan, BYTES, settings=Settings(precision="bf16"))
    assert 0 < abs(rough.loss_nats.value - exact.loss_nats.value) < 0.02


def test_a_comparison_is_the_slow_loop(fading: Maker) -> None:
    baseline, packed, plan = fading(V), fading(V), PLANS["sliding"]
    with torch.no_grad():
        packed.readout += 0.05 * fading(V, seed=1).readout
    p, q = (log_softmax(slow_logits(model, plan)[0]) for model in (baseline, packed))
    got = compare(baseline, packed, IDS, plan, BYTES)
    assert got.baseline == score(baseline, IDS, plan, BYTES)
    assert got.packed.loss_nats.value == score(packed, IDS, plan, BYTES).loss_nats.value
    difference = got.packed.bits_per_byte.value - got.baseline.bits_per_byte.value
    assert got.bits_per_byte_increase.value == difference
    kl = (np.exp(p) * (p - q)).sum(1).mean()
    assert got.kl_nats.value == pytest.approx(kl, abs=1e-7)
    assert got.top1_agreement.value == (p.argmax(1) == q.argmax(1)).mean()


def test_a_model_is_no_distance_from_itself(fading: Maker) -> None:
    model = fading(V)
    got = compare(model, model, IDS, PLANS["sequential"], BYTES)
    distances = (got.bits_per_byte_increase, got.kl_nats, got.top1_agreement)
    assert [(d.value, d.stderr) for d in distances] == [(0, 0), (0, 0), (1, 0)]


def test_standard_errors_are_those_of_a_mean_over_documents(fading: Maker) -> None:
    # Documents of equal length and bytes: the ratio is a mean, its error has a closed form.
    ids = np.random.default_rng(3).integers(2, V, 300 * 20 + 1).astype(np.uint16)
    ids[::20] = 1
    model, plan = fading(V), by_document(ids, 20, 20)
    losses = token_losses(model, ids, plan).reshape(300, 20).sum(1) / math.log(2) / 20
    got = score(model, ids, plan, np.ones(ids.size, np.int64)).bits_per_byte
    assert got.stderr == pytest.approx(losses.std(ddof=1) / math.sqrt(300), rel=0.1)


def test_one_document_has_no_standard_error(fading: Maker) -> None:
    got = score(fading(V), IDS, sequential(399, 64), BYTES, bos_id=49_999)
    assert (got.documents, got.bits_per_byte.stderr) == (1, None)


def test_progress_counts_scores_up_to_their_number(fading: Maker) -> None:
    calls: list[tuple[int, int]] = []
    settings = Settings(batch_tokens=64)
    score(
        fading(V),
        IDS,
        PLANS["sliding"],
        BYTES,
        settings=settings,
        progress=lambda *told: calls.append(told[1:3]),
    )
    assert calls[-1] == (399, 399)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_what_does_not_fit_together_is_refused(fading: Maker) -> None:
    model, plan = fading(V), PLANS["sequential"]
    with pytest.raises(UsageError, match="plan is for 400 tokens, the stream has 399"):
        score(model, IDS[1:], plan, BYTES[1:])
    with pytest.raises(UsageError, match="399 byte counts for 400 tokens"):
        score(model, IDS, plan, BYTES[1:])
    with pytest.raises(UsageError, match="stand for no text"):
        score(model, IDS, plan, np.zeros_like(BYTES))


def test_scores_that_are_no_numbers_name_their_target(fading: Maker) -> None:
    model = fading(20)
    with torch.no_grad():
        model.table[7] = torch.nan
    ids = np.array([1, 3, 4, 7, 5, 1, 6, 8], np.uint16)
    plan, counts = sequential(7, 7), np.ones(8, np.int64)
    with pytest.raises(ScoreError, match="target 3 and 3 more score nan"):
        score(model, ids, plan, counts)
    with pytest.raises(ScoreError, match=r"target 3 .* score [0-9.]+, nan, nan"):
        compare(fading(20), model, ids, plan, counts)


@pytest.mark.parametrize("counts", [[0, 5, -1, 1], [0.0, 1.0, 1.0, 1.0], [True] * 4])
def test_byte_counts_are_integers_that_are_not_negative(fading: Maker, counts: list[float]) -> None:
    ids = np.array([1, 3, 4, 7], np.uint16)
    with pytest.raises(UsageError, match="integers that are not negative"):
        score(fading(20), ids, sequential(3, 3), np.array(counts))
