"""Scripts that learn while they score compute what artpack does, for every kind of recipe."""

from functools import cache
from typing import Any

import pytest
import torch

from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.ttt.load import load_recipe
from artpack.evaluation.ttt.recipe import AnyRecipe
from artpack.portable.small_source import pack_source
from artpack.submission.record import Windows
from artpack.submission.script import scorer_source
from tests.evaluation.ttt.conftest import SETS, tiny_model, tiny_recipe, tiny_stream

QUICK = ("scalars", "blocks", "phased", "pr826")
WINDOWS = Windows("sliding", 16, 8, None)
SMALL_DOCUMENTS = ("window_tokens=16", "chunk_tokens=8", "rank=2", "documents=3")
SMALL_STREAM = ("window_tokens=16", "stride_tokens=8", "chunk_tokens=32", "rule.lr=0.02")
VARIANTS: dict[str, AnyRecipe] = {
    **{name: tiny_recipe(name) for name in SETS},
    "fitted": tiny_recipe("scalars", "fit_temperature=true", "learn_at_temperature=true"),
    "warm": tiny_recipe("scalars", "rule.warmup_chunks=2", "z_loss=0.01", "batch_windows=2"),
    "adamw": tiny_recipe("blocks", "rule.kind=adamw", "rule.weight_decay=0.1", "rule.clip_norm=1"),
    "unlearning": tiny_recipe("scalars", "epochs=0", "temperature=1.1"),
    "averaged": tiny_recipe("lora", "polyak=0.5", "fit_temperature=true", "epochs=2"),
    "kept": tiny_recipe("lora", "keep_inputs=true", "order=short-first", "joint=true"),
    "stream": tiny_recipe("lora", "reads=stream", "alpha=4.0", "rule.kind=sgd", "head_lr=0.5"),
    "drawn": tiny_recipe("phased", "document_share=0.5", "order=long-first", "phases=2"),
    "crossing": tiny_recipe("phased", "across_documents=true", "keep_inputs=true"),
    "pr826": load_recipe("pr826", SMALL_DOCUMENTS, faithful=True).recipe,
    "pr1934": load_recipe(
        "pr1934",
        (*SMALL_DOCUMENTS, "prefix_documents=6", "shared_chunk_tokens=32"),
        faithful=True,
    ).recipe,
    "pr2086": load_recipe("pr2086", SMALL_STREAM).recipe,
    "pr576": load_recipe("pr576", SMALL_STREAM).recipe,
    "pr1123": load_recipe("pr1123", (*SMALL_STREAM, "frozen=1"), faithful=True).recipe,
}


@cache
def source_of(name: str) -> str:
    return scorer_source(tiny_model().config, WINDOWS, VARIANTS[name])


def run(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "script"}
    exec(compile(source, "script", "exec"), space)  # noqa: S102 - it is ours
    return space


@pytest.mark.parametrize(
    "name",
    [
        *QUICK,
        *(pytest.param(one, marks=pytest.mark.slow) for one in sorted({*VARIANTS} - {*QUICK})),
    ],
)
def test_recipes_give_the_same_bits(name: str) -> None:
    stream, model = tiny_stream(), tiny_model()
    wanted = adapt(model, stream, VARIANTS[name]).score
    space = run(source_of(name))
    linked = space["build"](space["CONFIG"], model.state_dict(), "cpu")
    tokens = space["Stream"](stream.ids, stream.byte_counts, stream.bos_id)
    settings = space["Settings"]("cpu")
    found = space["adapt"](linked, tokens, space["RECIPE"], settings=settings).score
    assert found.loss_sum_nats == wanted.loss_sum_nats
    assert found.bits_per_byte.value == wanted.bits_per_byte.value
    assert found.bits_per_byte.stderr == wanted.bits_per_byte.stderr
    assert found.coverage.scored == wanted.coverage.scored


def test_it_learns() -> None:
    stream, model = tiny_stream(), tiny_model()
    still = adapt(model, stream, VARIANTS["unlearning"]).score
    moved = adapt(model, stream, tiny_recipe("scalars", "temperature=1.1")).score
    assert still.loss_sum_nats != moved.loss_sum_nats


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("scalars", ("Attached", "DocumentStrategy", "Sgd", "by_document", "Keeper")),
        ("lora", ("StreamStrategy", "Trainer", "Sgd", "learn_phase", "Fitted", "Keeper")),
        ("phased", ("StreamStrategy", "Keeper", "Fitted")),
    ],
)
def test_what_a_recipe_does_not_ask_for_is_left_out(name: str, absent: tuple[str, ...]) -> None:
    space = run(source_of(name))
    assert not set(absent) & set(space)
    assert "adapt" in space


@pytest.mark.parametrize(
    ("name", "more"), [("scalars", 3100), ("blocks", 3200), ("lora", 3600), ("phased", 6000)]
)
def test_it_stays_small(name: str, more: int) -> None:
    still = scorer_source(tiny_model().config, WINDOWS)
    assert len(pack_source(source_of(name), [])) - len(pack_source(still, [])) < more


def test_a_script_that_stands_still_has_nothing_of_it() -> None:
    source = scorer_source(tiny_model().config, WINDOWS)
    assert "adapt" not in run(source)
    assert "LoraMatrices" not in source


def test_the_model_is_left_as_it_is() -> None:
    space, model = run(source_of("blocks")), tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stream = tiny_stream()
    linked = space["build"](space["CONFIG"], model.state_dict(), "cpu")
    tokens = space["Stream"](stream.ids, stream.byte_counts, stream.bos_id)
    space["adapt"](linked, tokens, space["RECIPE"])
    for name, tensor in linked.state_dict().items():
        assert torch.equal(tensor, before[name])
