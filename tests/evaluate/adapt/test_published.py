"""Forks of the published adapting evaluations that their published settings do not take."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from artpack.evaluate.adapt.documents import DocumentStrategy
from artpack.evaluate.adapt.load import load_recipe
from artpack.evaluate.adapt.loop import adapt
from artpack.evaluate.adapt.matrices import Matrices
from artpack.evaluate.adapt.recipe import Lora, Scalars
from artpack.evaluate.adapt.stream import StreamStrategy
from artpack.evaluate.forward import Settings
from artpack.evaluate.stream import Stream
from artpack.models import GPT
from artpack.models.mechanisms import Ntk
from tests.evaluate.adapt.conftest import tiny_recipe


def over_stream(*sets: str) -> Scalars:
    recipe = load_recipe("pr2086", ["rule.lr=0.1", "tensors=['*']", *sets], faithful=True).recipe
    assert isinstance(recipe, Scalars)
    return recipe


def targets(count: int) -> Stream:
    return Stream(np.arange(count + 1).astype(np.uint16) % 20, np.ones(count + 1, np.int64))


def lora(*sets: str, faithful: bool = True) -> Lora:
    small = ["window_tokens=16", "chunk_tokens=8", "documents=2", "rank=2", "epochs=1"]
    recipe = load_recipe("pr826", [*small, *sets], faithful=faithful).recipe
    assert isinstance(recipe, Lora)
    return recipe


def test_the_rate_counts_chunks_of_targets_even_those_without_a_window(model: GPT) -> None:
    # 64 targets in chunks of 5; windows of 16 every 8 score [0, 16), [16, 24), [24, 32) ...
    recipe = over_stream("window_tokens=16", "stride_tokens=8", "chunk_tokens=5")
    strategy = StreamStrategy(model, recipe, targets(64), Settings())
    steps = list(strategy.steps())
    assert [step.place for step in steps] == [first // 5 for first in (0, 16, 24, 32, 40, 48, 56)]
    assert not any(step.lesson for step in steps)  # 5 targets are less than a window


def test_a_chunk_that_the_last_window_does_not_reach_is_the_last_all_the_same(model: GPT) -> None:
    # 96 targets in chunks of 31: the fourth holds 3 targets, and no window begins in it.
    recipe = over_stream("window_tokens=16", "stride_tokens=16", "chunk_tokens=31", "epochs=1")
    adapted = adapt(model, targets(96), recipe)
    rates = [lesson.rate for lesson in adapted.lessons]
    wanted = [0.1 * 0.5 * (1 + math.cos(math.pi * chunk / 3)) for chunk in range(3)]
    assert rates == pytest.approx(wanted)
    assert adapted.score.coverage.scored == 96


def test_pr2086_takes_a_step_for_32_windows(model: GPT) -> None:
    recipe = over_stream("window_tokens=4", "stride_tokens=4", "chunk_tokens=132", "epochs=2")
    adapted = adapt(model, targets(264), recipe)
    assert len(adapted.lessons) == 2 * 2  # 33 windows: 32, and one


def test_the_published_factors_of_queries_and_values_do_nothing(model: GPT) -> None:
    sets = ("head_lr=3.0", "q_lr=5.0", "v_lr=7.0")
    for faithful, factors in ((False, {"head": 3, "q": 5, "v": 7}), (True, {"head": 3})):
        recipe = lora(*sets, faithful=faithful)
        low_rank = Matrices(recipe, model.config, 2, "cpu").low_rank
        flat = low_rank.columns(recipe.rate_factors)
        for name, pair in low_rank.attached(flat[None]).pairs.items():
            wanted = float(factors.get(name.split(".")[0], 1))
            assert all((part == wanted).all() for part in pair), name


def test_factors_scale_the_steps_of_their_matrices(model: GPT) -> None:
    sets = ("rule.kind=sgd", "rule.clip_norm=none", "q_lr=5.0", "v_lr=0.0", "head_lr=2.0")
    matrices = Matrices(lora(*sets, faithful=False), model.config, 1, "cpu")
    matrices.begin()
    before = matrices.low_rank.flat.detach().clone()
    matrices.low_rank.flat.grad = torch.ones_like(before)
    matrices.step(0.1)
    moved = before - matrices.low_rank.flat.detach()
    wanted = {"q": 0.5, "v": 0.0, "head": 0.2}
    for name, pair in matrices.low_rank.attached(moved).pairs.items():
        for part in pair:
            assert torch.allclose(part, torch.tensor(wanted[name.split(".")[0]]))


def test_without_alpha_products_count_once_whatever_the_rank(model: GPT) -> None:
    for sets, scale in ((("rank=3",), 1.0), (("rank=3", "alpha=6.0"), 2.0)):
        matrices = Matrices(lora(*sets), model.config, 1, "cpu")
        assert matrices.low_rank.attached(matrices.low_rank.flat).scale == scale


@pytest.mark.parametrize("faithful", [False, True])
def test_rows_are_short_as_published_even_if_the_base_follows(
    model: GPT, *, faithful: bool
) -> None:
    rope = replace(model.config.rope, ntk=Ntk(10))
    model.config = replace(model.config, rope=rope)
    strategy = DocumentStrategy(model, lora(faithful=faithful), targets(40), Settings())
    rows = [step.plan.row_tokens for step in strategy.steps()]
    assert set(rows) == ({8, 16} if faithful else {16})


def test_stochastic_descent_of_pr826_has_no_momentum_unless_told() -> None:
    assert lora("rule.kind=sgd").rule.momentum == 0.0
    assert lora("rule.kind=sgd", "rule.momentum=0.5").rule.momentum == 0.5
    assert tiny_recipe("lora", "rule.kind=sgd").rule.momentum == 0.9
