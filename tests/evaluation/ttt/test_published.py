"""Forks of the published adapting evaluations that their published settings do not take."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.ttt.load import load_recipe
from artpack.evaluation.ttt.lora_batch import Matrices
from artpack.evaluation.ttt.over_stream import StreamStrategy
from artpack.evaluation.ttt.per_document import DocumentStrategy
from artpack.evaluation.ttt.recipe import Blocks, Lora, Scalars
from artpack.evaluation.ttt.second_pass import score_again
from artpack.models import GPT
from artpack.models.mechanisms import Ntk
from artpack.runners.settings import Settings
from tests.evaluation.ttt.conftest import tiny_recipe


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
    assert not any(step.update for step in steps)  # 5 targets are less than a window


def test_a_chunk_that_the_last_window_does_not_reach_is_the_last_all_the_same(model: GPT) -> None:
    # 96 targets in chunks of 31: the fourth holds 3 targets, and no window begins in it.
    recipe = over_stream("window_tokens=16", "stride_tokens=16", "chunk_tokens=31", "epochs=1")
    adapted = adapt(model, targets(96), recipe)
    rates = [update.rate for update in adapted.updates]
    wanted = [0.1 * 0.5 * (1 + math.cos(math.pi * chunk / 3)) for chunk in range(3)]
    assert rates == pytest.approx(wanted)
    assert adapted.score.coverage.scored == 96


def blocks(system: str, *sets: str) -> Blocks:
    small = ["window_tokens=16", "stride_tokens=5", "chunk_tokens=16", "rule.lr=0.1"]
    recipe = load_recipe(system, [*small, *sets], faithful=True).recipe
    assert isinstance(recipe, Blocks)
    return recipe


def test_windows_below_the_stride_are_left_out_until_the_second_pass_of_pr576(model: GPT) -> None:
    # 48 targets, windows every 5: that at 45 has 3 tokens.
    stream, recipe = targets(50), blocks("pr576", "epochs=0", "temperature=1.0")
    first = adapt(model, stream, recipe)
    assert first.score.coverage.windows == 9
    assert score_again(first, stream, recipe).coverage.windows == 10
    starts = range(0, 45, 5)
    assert first.score.coverage.scored == 16 + sum(min(5, 48 - start) for start in starts[1:])
    assert adapt(model, stream, blocks("pr1123", "epochs=0")).score.coverage.windows == 9


def test_blocks_of_pr576_count_from_the_end_and_scales_always_adapt(model: GPT) -> None:
    names = [name for name, _ in model.named_parameters()]
    config = model.config
    none = {n for n in names if blocks("pr576", "last=0").adapts(config, n)}
    assert none == {n for n in names if any(w in n for w in ("norm", "scale", "lm_head"))}
    assert "lm_head.weight" not in names
    assert blocks("pr576", "last=0").adapts(config, "lm_head.weight")
    every = {n for n in names if blocks("pr576", "last=99").adapts(config, n)}
    assert every == none | {n for n in names if n.startswith(config.names.blocks)}
    last = {n for n in names if blocks("pr576", "last=1").adapts(config, n)}
    assert last == none | {n for n in names if f"blocks.{config.num_layers - 1}." in n}


def test_blocks_of_pr1123_are_frozen_from_the_start(model: GPT) -> None:
    names = [name for name, _ in model.named_parameters()]
    inside = {n for n in names if n.startswith(model.config.names.blocks)}
    adapting = {n for n in names if blocks("pr1123", "frozen=99").adapts(model.config, n)}
    assert adapting == set(names) - inside
    assert all(blocks("pr1123", "frozen=0").adapts(model.config, n) for n in names)


def test_a_gradient_clipped_to_nothing_changes_nothing(model: GPT) -> None:
    adapted = adapt(model, targets(48), blocks("pr1123", "rule.clip_norm=0", "frozen=0"))
    assert adapted.updates
    before = dict(model.named_parameters())
    for name, after in adapted.model.named_parameters():
        assert torch.equal(after, before[name])


def test_no_epochs_only_score(model: GPT) -> None:
    adapted = adapt(model, targets(48), blocks("pr1123", "epochs=0"))
    assert not adapted.updates
    assert adapted.score.coverage.scored == 16 + 8 * 5


def test_the_rest_of_a_chunk_is_never_learned_from(model: GPT) -> None:
    # Chunks of 40 hold 2 windows of 16; batches of 1 make 2 steps an epoch.
    recipe = blocks("pr1123", "chunk_tokens=40", "batch_windows=1", "epochs=2", "rule.momentum=0")
    adapted = adapt(model, targets(96), recipe)
    assert [update.rate for update in adapted.updates] == pytest.approx([0.1] * 4 + [0.05] * 4)
    changed = targets(96)
    changed.ids[34:40] = 7  # the last targets of the first chunk's rest, scored but not learned
    again = adapt(model, changed, recipe)
    assert again.updates[:4] == adapted.updates[:4]


def test_pr2086_takes_a_step_for_32_windows(model: GPT) -> None:
    recipe = over_stream("window_tokens=4", "stride_tokens=4", "chunk_tokens=132", "epochs=2")
    adapted = adapt(model, targets(264), recipe)
    assert len(adapted.updates) == 2 * 2  # 33 windows: 32, and one


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
