"""N-gram mixing: exact counts, true distributions, and the published lookup that is none."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluation.ngram.counts import NgramCounts
from artpack.evaluation.ngram.lookup import HashedLookup
from artpack.evaluation.ngram.mixing import MIXERS, RATE, Learned, Published
from artpack.evaluation.ngram.published import PublishedRule

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


PRIMES = [36313, 27191, 51647, 81929, 131071, 174763, 233017, 283721, 347237]


def slow_lookup(
    ids: list[int], rule: PublishedRule, buckets: int, chunk: int
) -> Iterator[tuple[int, float]]:
    """Yield order and share of every target, by the published description and nothing else."""
    contexts: Counter[tuple[int, int]] = Counter()
    joint: Counter[tuple[int, int]] = Counter()

    def keys(p: int, order: int) -> tuple[int, int]:
        key = 0
        for k, token in enumerate(ids[p - order + 1 : p]):
            key ^= token * PRIMES[k]
        return key % buckets, (key ^ ids[p] * PRIMES[min(order - 1, 8)]) % buckets

    for low in range(1, len(ids), chunk):
        targets = range(low, min(low + chunk, len(ids)))
        for p in targets:
            for order in range(min(rule.max_order, p + 1), rule.min_order - 1, -1):
                context, both = keys(p, order)
                known = contexts[order, context]
                if known >= rule.min_count:
                    yield order, min(joint[order, both], known) / max(known, 1)
                    break
            else:
                yield 0, 0.0
        for p in targets:
            for order in range(rule.min_order, min(rule.max_order, p + 1) + 1):
                context, both = keys(p, order)
                contexts[order, context] += 1
                joint[order, both] += 1


RULES = {
    "published": PublishedRule(),
    "ten orders": PublishedRule(max_order=10),
    "from one token": PublishedRule(min_order=1, max_order=3, multipliers=(0.5, 1.5)),
    "middle orders": PublishedRule(min_order=3, max_order=6, slope=0.7, center_nats=2.0),
    "no order": PublishedRule(min_order=5, max_order=4),
    "every context": PublishedRule(min_count=0, max_order=4),
    "often": PublishedRule(min_count=4, adaptive=False, alpha_min=0.2, alpha_max=0.9),
}


@pytest.mark.parametrize("name", RULES)
def test_the_lookup_does_what_its_description_says_at_any_setting(name: str) -> None:
    ids, rule = stream(7, 600), RULES[name]
    found = HashedLookup(rule, buckets=64, chunk_tokens=50).look_up(ids)
    wanted = list(slow_lookup(ids.tolist(), rule, 64, 50))
    assert found.order.tolist() == [order for order, _ in wanted]
    assert found.share.tolist() == [share for _, share in wanted]
    assert found.contexts.size == rule.min_order + len(rule.orders)
    places = {order: max(ids.size - max(order - 1, 1), 0) for order in rule.orders}
    assert found.counted[rule.min_order :].tolist() == list(places.values())


@pytest.mark.parametrize("name", RULES)
def test_the_weight_follows_every_setting_of_its_rule(name: str) -> None:
    rule = RULES[name]
    for order in (0, *rule.orders):
        for nats in (0.0, 1.3, 6.0):
            center = rule.center_nats - 0.25 * (order - rule.min_order)
            rise = 1 / (1 + math.exp(-rule.slope * (nats - center))) if rule.adaptive else 0.5
            alpha = rule.alpha_min + (rule.alpha_max - rule.alpha_min) * rise
            place = min(order - rule.min_order, len(rule.multipliers) - 1)
            wanted = min(alpha * rule.multipliers[place], 0.95) if order else 0.0
            got = rule.alpha(np.array([nats]), np.array([order]))[0]
            assert got == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("name", [name for name in RULES if name != "no order"])
def test_every_rule_with_exact_counts_is_a_distribution(name: str) -> None:
    ids, mixer = stream(VOCABULARY, 200), Published(RULES[name])
    level = np.full(ids.size, -np.log(VOCABULARY))
    scored = mixer.absorb(ids, level, -level)
    assert (scored < 1e-12).all()
    row = mixer.distribution(np.full(VOCABULARY, 1 / VOCABULARY), 3.0)
    assert row.sum() == pytest.approx(1)
    assert (row >= 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PublishedRule(max_order=11), "orders 2 to 11 do not lie in 1..10"),
        (lambda: PublishedRule(min_order=0), "orders 0 to 9 do not lie"),
        (lambda: PublishedRule(multipliers=()), "multipliers is empty"),
        (lambda: HashedLookup(buckets=1000), "buckets must be a power of two, got 1000"),
        (lambda: HashedLookup(chunk_tokens=0), "chunk_tokens must be 1 or more"),
    ],
)
def test_settings_that_the_lookup_cannot_have_are_refused(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        make()
