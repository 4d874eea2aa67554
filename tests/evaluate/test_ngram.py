"""N-gram mixing: exact counts, true distributions, and the published lookup that is none."""

from collections import Counter

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluate.ngram.counts import NgramCounts
from artpack.evaluate.ngram.lookup import HashedLookup
from artpack.evaluate.ngram.mixing import MIXERS, RATE, Learned
from artpack.evaluate.ngram.published import PublishedRule

VOCABULARY = 30


def stream(alphabet: int, tokens: int, seed: int = 0) -> NDArray[np.uint16]:
    """Return tokens that repeat themselves now and then."""
    draw = np.random.default_rng(seed)
    ids = draw.integers(alphabet, size=tokens).astype(np.uint16)
    for _ in range(tokens // 40):
        source, to = draw.integers(tokens - 20, size=2)
        ids[to : to + 20] = ids[source : source + 20]
    return ids


def model(tokens: int, seed: int = 1) -> NDArray[np.float64]:
    """Return a distribution for each token."""
    return np.random.default_rng(seed).dirichlet(np.ones(VOCABULARY), size=tokens)


def entropies(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return nats."""
    nats: NDArray[np.float64] = -(rows * np.log(rows)).sum(-1)
    return nats


def followers_by_hand(ids: NDArray[np.uint16], order: int) -> Counter[int]:
    """Count what followed the last tokens wherever they occurred before."""
    seen = ids.tolist()
    context = seen[len(seen) - order + 1 :]
    starts = range(len(seen) - len(context)) if len(context) == order - 1 else ()
    return Counter(seen[i + order - 1] for i in starts if seen[i : i + order - 1] == context)


@pytest.mark.parametrize(("alphabet", "orders"), [(1, (1, 3)), (2, (1, 9)), (30, (2, 5))])
def test_counts_are_those_of_a_search_through_the_stream(
    alphabet: int, orders: tuple[int, int]
) -> None:
    ids = stream(alphabet, 400)
    counts = NgramCounts(*orders)
    evidence = np.concatenate([counts.absorb(part) for part in np.split(ids, [0, 1, 150])])
    for at in range(0, 400, 7):
        for order in range(orders[0], orders[1] + 1):
            known = followers_by_hand(ids[:at], order)
            want = [known[int(ids[at])], known.total(), len(known)]
            assert evidence[at, order - orders[0]].tolist() == want


def test_followers_are_those_of_the_present_context() -> None:
    ids, counts = stream(4, 300), NgramCounts(1, 6)
    for at in range(300):
        for order in range(1, 7):
            known = followers_by_hand(ids[:at], order)
            assert counts.followers(order, 4).tolist() == [known[token] for token in range(4)]
        counts.absorb(ids[at : at + 1])


def test_contexts_that_do_not_return_take_no_nodes() -> None:
    counts = NgramCounts(2, 9)
    counts.absorb(np.arange(5000, dtype=np.uint16))
    assert counts.nodes == 1 + 5000


def test_orders_must_be_a_range() -> None:
    with pytest.raises(UsageError, match="orders 3 to 2"):
        NgramCounts(3, 2)


@pytest.mark.parametrize("name", MIXERS)
def test_what_is_scored_is_a_distribution_that_does_not_know_the_target(name: str) -> None:
    ids, rows = stream(VOCABULARY, 600), model(600)
    mixer, entropy = MIXERS[name](), entropies(rows)
    log_probs = np.log(rows[np.arange(600), ids])
    whole = MIXERS[name]().absorb(ids, log_probs, entropy)
    for at in range(600):
        row = mixer.distribution(rows[at], entropy[at])
        assert row.sum() == pytest.approx(1, abs=1e-12)
        assert row.min() > 0
        here = slice(at, at + 1)
        scored = mixer.absorb(ids[here], log_probs[here], entropy[here])
        assert scored[0] == pytest.approx(np.log(row[ids[at]]), abs=1e-12)
        assert scored[0] == whole[at]


def test_weights_climb_the_gradient_of_the_last_score() -> None:
    ids, rows = stream(VOCABULARY, 300), model(300)
    evidence, entropy = NgramCounts(2, 9).absorb(ids), entropies(rows)
    gates = torch.zeros(8, 4, dtype=torch.float64)
    gates[:, 0] = -1
    scored = []
    for at in range(300):
        gates = gates.requires_grad_()
        p = torch.tensor(rows[at, ids[at]])
        for gate, (followed, total, distinct) in zip(gates, evidence[at].tolist(), strict=True):
            if total:
                x = torch.tensor([2, np.log(total), np.log(distinct), entropy[at]])
                a = torch.sigmoid(gate @ x)
                p = (1 - a) * p + a * followed / total
        scored.append(float(p.log().detach()))
        if p.requires_grad:
            (slope,) = torch.autograd.grad(p.log(), gates)
            gates = gates.detach() + RATE * slope
    got = Learned().absorb(ids, np.log(rows[np.arange(300), ids]), entropy)
    np.testing.assert_allclose(got, scored, rtol=1e-9)


def test_noise_cannot_be_guessed_except_by_what_is_no_distribution() -> None:
    noise = np.random.default_rng(0).integers(VOCABULARY, size=20_000).astype(np.uint16)
    level = np.full(noise.size, -np.log(VOCABULARY))
    assert -Learned().absorb(noise, level, -level).mean() > np.log(VOCABULARY) - 0.001
    lookup = HashedLookup(buckets=1024, chunk_tokens=500)
    found = lookup.look_up(noise, watch=[15_000, 19_000], vocab_size=VOCABULARY)
    claimed = lookup.claim(np.exp(level[1:]), -level[1:], found)
    assert -np.log(claimed).mean() < np.log(VOCABULARY) / 2
    assert (found.watched.sum(axis=1) > VOCABULARY / 2).all()


def test_what_returns_is_learned() -> None:
    ids = np.tile(np.random.default_rng(0).integers(VOCABULARY, size=100), 5).astype(np.uint16)
    level = np.full(ids.size, -np.log(VOCABULARY))
    assert -Learned().absorb(ids, level, -level)[200:].mean() < 0.1


def test_lookup_without_collisions_is_the_backoff_of_exact_counts() -> None:
    ids, rule = stream(5, 2000), PublishedRule()
    found = HashedLookup(rule, buckets=1 << 22, chunk_tokens=1).look_up(ids)
    order, share = rule.backoff(NgramCounts(2, 9).absorb(ids)[1:])
    same = (order == found.order) & np.isclose(share, found.share, rtol=1e-15)
    assert same.mean() > 0.99


def test_watched_rows_hold_the_targets_share() -> None:
    ids = stream(VOCABULARY, 3000)
    watch = [0, 500, 1500, 2998]
    found = HashedLookup(buckets=4096, chunk_tokens=100).look_up(
        ids, watch=watch, vocab_size=VOCABULARY
    )
    at = found.watched[np.arange(4), ids[np.array(watch) + 1]]
    assert at.tolist() == found.share[watch].tolist()


def test_tables_are_as_full_as_the_published_ones() -> None:
    small = HashedLookup.scaled(242_272)
    assert (small.buckets, small.chunk_tokens) == (1 << 14, 3906)
