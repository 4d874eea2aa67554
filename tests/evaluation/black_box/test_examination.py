"""The examination of evaluators of which nothing is known: legal ones pass, cheats do not."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from artpack.errors import UsageError
from artpack.evaluation.black_box.alterations import Alterations, suspicious_places, tries
from artpack.evaluation.black_box.answer import Answer
from artpack.evaluation.black_box.examination import Examination
from artpack.evaluation.black_box.normalisation import FALSE_ALARM, Bet
from artpack.evaluation.black_box.plan import ExaminationPlan, Examined
from tests.evaluation.black_box.evaluators import (
    CHEATS,
    LEGAL,
    TABLE,
    VOCAB,
    Evaluator,
    Ids,
    bigram,
    knowing_the_next,
    peeks,
    text,
)


def examine(make: Callable[[], Evaluator], ids: Ids | None = None, **plan: object) -> Examined:
    """Examine an evaluator that is made anew for every run, as in a fresh process."""

    def ask(streams: Sequence[Ids], what: str) -> Answer:
        evaluator = make()
        return Answer([evaluator(stream) for stream in streams][-1])

    usual = ExaminationPlan(**{"confidence": 0.95, "share": 0.05, "sums": 2, **plan})  # type: ignore[arg-type]
    return Examination(ask, text() if ids is None else ids, VOCAB, 1, usual, seed=3).run()


def broken(found: Examined) -> set[str]:
    return {condition.name for condition in found.conditions if not condition.passed}


@pytest.mark.parametrize("name", LEGAL)
def test_legal_scores_pass(name: str) -> None:
    found = examine(LEGAL[name])
    assert not broken(found), found.conditions
    assert found.random_cuts == tries(0.95, 0.05) == 59
    one = next(chance for chance in found.chances if chance.share == 0.05)
    assert one.leak == 0.95**59 < 0.05


@pytest.mark.parametrize("name", CHEATS)
def test_cheats_are_caught_by_what_they_break(name: str) -> None:
    make, must_break = CHEATS[name]
    found = examine(make)
    assert must_break <= broken(found), found.conditions
    assert not all(condition.passed for condition in found.conditions)


def test_noise_within_a_bound_is_none_and_a_leak_above_it_is() -> None:
    found = examine(CHEATS["another at every run"][0], bound_nats=0.02)
    assert not broken(found)
    assert "within 0.02 nats" in found.conditions[0].checked
    assert "C1" in broken(examine(lambda: knowing_the_next, bound_nats=0.02))


def test_shorter_streams_may_round_otherwise() -> None:
    def rounds(ids: Ids, change: float) -> np.ndarray:
        return np.asarray(bigram(ids) + change * (ids.size % 2))

    assert not broken(examine(lambda: lambda ids: rounds(ids, 1e-5)))
    assert broken(examine(lambda: lambda ids: rounds(ids, 2e-3), sums=0)) == {"C4"}


def test_documents_may_stay_where_they_are() -> None:
    def batched(ids: Ids) -> np.ndarray:
        """Score by a scale that depends on how many documents there are."""
        scale = 1 + 1e-3 * np.count_nonzero(ids == 1)
        rows = TABLE[ids[:-1]] ** scale
        return np.asarray(-np.log(rows[np.arange(ids.size - 1), ids[1:]] / rows.sum(axis=1)))

    assert "C1" in broken(examine(lambda: batched))
    assert "C1" not in broken(examine(lambda: batched, keep_documents=True, sums=0))


def list_all(ids: Ids) -> np.ndarray:
    return np.asarray(-np.log(TABLE[ids[-1]]))


@pytest.mark.parametrize(
    ("evaluator", "listed", "said"),
    [
        (bigram, list_all, None),
        (bigram, lambda ids: list_all(ids) - 0.1, "sum to 1.10517"),
        (lambda ids: np.full(ids.size - 1, 3.0), list_all, "nats from the one listed"),
        (bigram, lambda ids: list_all(ids)[:-1], "sum to nan"),
    ],
)
def test_listed_losses_are_those_that_are_scored(
    evaluator: Evaluator, listed: Evaluator, said: str | None
) -> None:
    def asks(evaluate: Evaluator) -> Callable[[Sequence[Ids], str], Answer]:
        return lambda streams, _: Answer(evaluate(streams[-1]))

    plan = ExaminationPlan(share=0.5)
    found = Examination(
        asks(evaluator), text(), VOCAB, 1, plan, seed=1, list_all=asks(listed)
    ).run()
    condition = found.conditions[1]
    assert condition.name == "C2"
    assert "all tokens at 8 places" in condition.checked
    assert condition.passed is (said is None)
    assert said is None or any(said in line for line in condition.violations)


def test_the_stated_chance_to_miss_a_leak_is_the_one_that_is_found() -> None:
    """Leaks that no suspicious place shows, so that random cuts alone can find them."""
    ids, plan = text(200), ExaminationPlan(confidence=0.6, share=0.1, sums=0)
    chosen = suspicious_places(ids, np.arange(ids.size), 8, 1)
    hidden = np.setdiff1d(np.arange(2, ids.size), chosen)
    draw, missed, stated, rounds = np.random.default_rng(0), 0, 0.0, 300
    for seed in range(rounds):
        leaky = np.zeros(ids.size - 1)
        leaky[draw.choice(hidden, 20, replace=False) - 2] = 1e-9

        def leaks(ids: Ids, leaky: np.ndarray = leaky) -> np.ndarray:
            """Let loss i move with token i + 2, at some places."""
            return np.asarray(bigram(ids) + leaky[: ids.size - 1] * np.append(ids[2:], 0))

        def ask(
            streams: Sequence[Ids], _: str, leaks: Callable[[Ids], np.ndarray] = leaks
        ) -> Answer:
            return Answer(leaks(streams[-1]))

        found = Examination(ask, ids, VOCAB, 1, plan, seed=seed).run()
        missed += found.conditions[0].passed
        stated = next(one.leak for one in found.chances if one.share == 0.1)
    error = (stated * (1 - stated) / rounds) ** 0.5
    assert stated == 0.9 ** tries(0.6, 0.1)
    assert abs(missed / rounds - stated) < 4 * error


def test_the_bet_raises_no_false_alarm_and_finds_one_in_a_hundred() -> None:
    gains = [_gain(bigram, seed) for seed in range(40)]
    assert max(gains) < -np.log(FALSE_ALARM) / 2
    # Ville: the chance that a legal score gains g is at most exp(-g).
    assert np.mean(np.array(gains) > np.log(4)) <= 1 / 4
    assert min(_gain(lambda ids: peeks(ids, 0.02), seed) for seed in range(5)) > 14


def _gain(evaluator: Evaluator, seed: int) -> float:
    return _bet(evaluator, seed).log_gain


def _bet(evaluator: Evaluator, seed: int) -> Bet:
    alterations, bet = Alterations(text(), VOCAB, np.random.default_rng(seed)), Bet()
    for _ in range(5):
        altered = alterations.cut(2, "drawn")
        losses = evaluator(altered.ids)[altered.drawn - 1]
        bet.add(np.exp(-losses) / altered.chances, altered.chances)
    return bet


def test_what_the_bet_would_miss_is_measured() -> None:
    bet = _bet(bigram, 0)
    chances = [bet.missed(share) for share in (0.0, 0.001, 0.02, 0.1)]
    assert chances[0] == 1
    assert chances == sorted(chances, reverse=True)
    assert chances[-1] == 0
    assert Bet().missed(0.5) == 1
    assert bet.tokens == 5 * 597
    assert abs(bet.mean - 1) < 4 * bet.error


@pytest.mark.parametrize("kind", ["drawn", "scattered", "text", "single"])
def test_alterations_begin_at_the_cut_and_state_their_chances(kind: str) -> None:
    ids = text()
    alterations = Alterations(ids, VOCAB, np.random.default_rng(0), fixed_id=1)
    altered = alterations.cut(200, kind)  # type: ignore[arg-type]
    changed = np.flatnonzero(altered.ids != ids)
    assert altered.ids.shape == ids.shape
    assert changed[0] == altered.cut == 200
    assert np.array_equal(np.flatnonzero(altered.ids == 1), np.flatnonzero(ids == 1))
    assert altered.drawn.size == altered.chances.size
    assert (altered.drawn > 200).all()
    assert (changed.size == 1) is (kind == "single")
    expected = np.bincount(ids, minlength=VOCAB) * 0.9 / ids.size + 0.1 / VOCAB
    expected[1] = 0
    assert np.allclose(altered.chances, (expected / expected.sum())[altered.ids[altered.drawn]])


def test_suspicious_places_are_the_end_edges_documents_and_rare_tokens() -> None:
    ids = text()
    ids[77] = 63
    places = suspicious_places(ids, np.arange(ids.size), 60, 1)
    assert len(places) == len(set(places)) == 60
    assert {599, 598, 597, 512, 513, 256, 128, 450, 451, 576} <= set(places)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"confidence": 1.0}, "`confidence` lies between 0 and 1, not at 1"),
        ({"share": 0.0}, "`share` lies between 0 and 1, not at 0"),
        ({"bound_nats": -1.0}, "`bound_nats` is from 0 to 1, not -1"),
        ({"sums": -1}, "`sums` is 0 or more, not -1"),
    ],
)
def test_plans_that_make_no_sense(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ExaminationPlan(**wrong)  # type: ignore[arg-type]


def test_streams_that_cannot_be_examined() -> None:
    with pytest.raises(UsageError, match="9 are too few"):
        examine(lambda: bigram, text()[:9])
    with pytest.raises(UsageError, match="id 64 is beyond a vocabulary of 64"):
        examine(lambda: bigram, text() + np.uint32(1) * (text() == 63))
