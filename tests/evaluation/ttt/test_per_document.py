"""What documents share, and what they do not."""

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.ttt.document_schedule import DocumentSchedule
from artpack.evaluation.ttt.lora_batch import Matrices
from artpack.evaluation.ttt.phases import phases
from artpack.evaluation.ttt.recipe import Lora, Phased
from artpack.models import GPT
from artpack.runners.settings import Settings
from tests.evaluation.ttt.conftest import tiny_recipe
from tests.evaluation.ttt.test_adaptation import Distributions


def lora(*more: str) -> Lora:
    recipe = tiny_recipe("lora", *more)
    assert isinstance(recipe, Lora)
    return recipe


def phased(*more: str) -> Phased:
    recipe = tiny_recipe("phased", *more)
    assert isinstance(recipe, Phased)
    return recipe


def test_a_document_scores_alone_what_it_scores_among_others(model: GPT, stream: Stream) -> None:
    starts = np.flatnonzero(stream.ids == 1)
    first, end = int(starts[3]), int(starts[4])
    alone = Distributions()
    document = stream.ids[first : end + 1]
    adapt(model, Stream(document, np.ones(document.size, np.int64)), lora(), observer=alone)
    for more in ((), ("documents=1",), ("documents=8",), ("order=short-first",), ("polyak=0.9",)):
        recipe = lora(*more)
        among = Distributions()
        adapt(model, stream, recipe, observer=among)
        if "polyak=0.9" in more:
            adapt(
                model,
                Stream(document, np.ones(document.size, np.int64)),
                recipe,
                observer=alone,
            )
        for target in range(end - first):
            assert among.rows[first + target] == pytest.approx(alone.rows[target], abs=1e-5)


@pytest.mark.parametrize("polyak", ["0.0", "0.9"])
def test_memory_does_not_change_the_score(model: GPT, stream: Stream, polyak: str) -> None:
    recipe = lora(f"polyak={polyak}", "epochs=2", "documents=8")
    small = Settings(batch_tokens=16)
    scores = [
        adapt(model, stream, recipe, settings=settings).score.loss_sum_nats
        for settings in (small, Settings())
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_documents_that_are_joined_do_depend_on_each_other(model: GPT, stream: Stream) -> None:
    losses = {
        adapt(model, stream, lora("joint=true", f"documents={n}")).score.loss_sum_nats
        for n in (1, 8)
    }
    assert len(losses) == 2


@pytest.mark.parametrize("order", ["stream", "short-first", "long-last", "long-first"])
def test_every_order_runs_every_document_once(stream: Stream, order: str) -> None:
    groups = list(DocumentSchedule.of(stream, lora(f"order={order}")).groups())
    starts = np.flatnonzero(stream.ids[:-1] == 1)
    assert sorted(np.concatenate([group.starts for group in groups])) == starts.tolist()
    assert all((np.diff(group.chunks) >= 0).all() for group in groups)
    lengths = [int(group.lengths.max()) for group in groups]
    if order != "stream":
        assert lengths == sorted(lengths, reverse=order == "long-first")


def test_phases_learn_from_the_first_documents_once_they_are_scored(stream: Stream) -> None:
    recipe = phased("phases=2")
    schedule = DocumentSchedule.of(stream, recipe)
    found = phases(schedule, recipe)
    assert [len(phase.starts) for phase in found.values()] == [3, 6]
    assert list(found) == [0, 1]
    first = next(iter(found.values()))
    tokens = first.tokens(stream.ids, doubled_bos=False)
    # The first documents of the stream lie side by side: nothing is doubled, nothing left out.
    assert np.array_equal(tokens, stream.ids[: tokens.size])
    assert tokens[-1] == 1
    assert first.tokens(stream.ids, doubled_bos=True).size == tokens.size + 2


def make(recipe: Lora, model: GPT) -> Matrices:
    matrices = Matrices(recipe, model.config, 2, "cpu")
    matrices.begin()
    return matrices


def step(matrices: Matrices, gradient: Tensor) -> None:
    matrices.low_rank.flat.grad = gradient.clone()
    matrices.step(1.0)


def test_the_running_average_is_that_of_the_steps_so_far(model: GPT) -> None:
    sets = ("polyak=0.5", "rule.kind=sgd", "rule.momentum=0.0", "rule.clip_norm=none")
    matrices = make(lora(*sets), model)
    visited = []
    for number in range(3):
        step(matrices, torch.full_like(matrices.low_rank.flat, float(number + 1)))
        visited.append(matrices.low_rank.flat.detach().clone())
    with matrices.scoring() as flat:
        shares = np.array([0.25, 0.5, 1.0]) / 1.75
        want = sum(share * tensor for share, tensor in zip(shares, visited, strict=True))
        assert torch.allclose(flat, want)


def test_as_published_the_average_starts_at_nothing_and_moves_once_a_chunk(model: GPT) -> None:
    sets = ("polyak=0.75", "restart_polyak=true", "rule.kind=sgd", "rule.clip_norm=none")
    matrices = make(lora(*sets), model)
    for _ in range(3):
        step(matrices, torch.ones_like(matrices.low_rank.flat))
    matrices.end_chunk()
    own = matrices.low_rank.flat.detach().clone()
    with matrices.scoring() as flat:
        assert torch.allclose(flat, own / 4)
    assert torch.equal(matrices.low_rank.flat, own)


def test_each_documents_gradient_is_clipped_by_itself(model: GPT) -> None:
    sets = ("rule.kind=sgd", "rule.momentum=0.0", "rule.clip_norm=1.0")
    for joint in (False, True):
        matrices = make(lora(*sets, f"joint={str(joint).lower()}"), model)
        gradient = torch.zeros_like(matrices.low_rank.flat)
        gradient[0, 0], gradient[1, 0] = 100.0, 0.5
        step(matrices, gradient)
        moved = -matrices.low_rank.flat[:, 0]
        want = [0.99998, 0.005] if joint else [1.0, 0.5]
        assert moved.tolist() == pytest.approx(want, rel=1e-3)
