"""Scripts compute what artpack does, for every published model, with no more than it has."""

import ast
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from artpack.evaluation.scoring.score import score
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import share_rows
from artpack.models import Documents, build
from artpack.models.mechanisms import Temperature
from artpack.models.presets import PRESETS
from artpack.submission.record import Windows
from artpack.submission.script import scorer_source
from tests.models.conftest import random_weights, shrink

WINDOWS = Windows("sliding", 16, 8, None)
QUICK = ("pr2086", "pr1934 as published", "pr1123", "cooled")
MODELS = {name: shrink(preset.config) for name, preset in PRESETS.items()} | {
    f"{name} as published": shrink(preset.as_published)
    for name, preset in PRESETS.items()
    if preset.as_published
}
MODELS["untied"] = replace(MODELS["lm6m"], tied_head=False, softcap=None, token_gates=True)
MODELS["plain"] = replace(MODELS["lm6m"], mlp_kind="swiglu", gated_values=True, skips=None)
MODELS["cooled"] = replace(MODELS["pr826"], temperature=Temperature(stored=True))


@cache
def source_of(name: str) -> str:
    return scorer_source(MODELS[name], WINDOWS)


def run(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "script"}
    exec(compile(source, "script", "exec"), space)  # noqa: S102 - it is ours
    return space


@pytest.mark.parametrize(
    "name",
    [*QUICK, *(pytest.param(one, marks=pytest.mark.slow) for one in sorted(MODELS.keys() - QUICK))],
)
def test_models_give_the_same_bits(name: str) -> None:
    config = MODELS[name]
    weights, space = random_weights(config), run(source_of(name))
    own, linked = build(config, weights), space["build"](space["CONFIG"], weights, "cpu")
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(config.vocab_size, (2, 24), generator=generator)
    starts = torch.rand(ids.shape, generator=generator) < 0.2

    with torch.inference_mode():
        assert torch.equal(linked(ids), own(ids))
        apart = space["Documents"].from_starts(starts)
        assert torch.equal(linked(ids, apart), own(ids, Documents.from_starts(starts)))


@pytest.mark.parametrize("placement", ["documents", "pr1934-packed"])
def test_placements_give_the_same_losses(placement: str) -> None:
    config = MODELS["lm6m"]
    windows = Windows(placement, 8, 4, None)
    weights, space = random_weights(config), run(scorer_source(config, windows))
    ids = np.random.default_rng(0).integers(2, config.vocab_size, 2100).astype(np.uint32)
    ids[::50] = 1
    counts = np.full(ids.size, 3)
    plan = share_rows(place(placement, ids, 8, 4))
    linked = space["share_rows"](space["place"](placement, ids, 8, 4))
    model = build(config, weights)
    with torch.inference_mode():
        found = space["score"](model, ids, linked, counts)
    wanted = score(model, ids, plan, counts)
    assert found.loss_sum_nats == wanted.loss_sum_nats
    assert found.bits_per_byte.value == wanted.bits_per_byte.value
    assert found.bits_per_byte.stderr == wanted.bits_per_byte.stderr


def names_in(name: str) -> set[str]:
    tree = ast.parse(source_of(name))
    return {one.name for one in ast.walk(tree) if isinstance(one, ast.ClassDef | ast.FunctionDef)}


def test_it_has_the_mechanisms_of_its_model_and_no_others() -> None:
    plain, full = names_in("lm6m"), names_in("pr1934 as published")
    mechanisms = {"head_gate", "exclude_self", "LaneMix", "token_smear", "bank_slices", "branches"}
    assert mechanisms <= full
    assert not mechanisms & plain
    assert not {"ScaledTable", "ChannelSmear", "TokenGate", "Lora", "KvCache"} & (plain | full)
    assert "GroupQuinary" in names_in("pr2086")
    assert "GroupQuinary" not in plain | full


def test_it_imports_torch_numpy_and_sentencepiece() -> None:
    found = set()
    for node in ast.walk(ast.parse(source_of("lm6m"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    assert found & {"torch", "numpy", "sentencepiece"} == {"torch", "numpy", "sentencepiece"}
    assert "artpack" not in found
