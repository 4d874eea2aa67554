"""A tiny model, a stream of short documents, and recipes that take a moment."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.load import load_recipe
from artpack.evaluation.ttt.recipe import AnyRecipe
from artpack.models import GPT, ModelConfig
from artpack.models.mechanisms import Rope, Softcap

VOCAB = 24
SETS = {
    "scalars": ("chunk_tokens=64", "epochs=2", "rule.lr=0.1"),
    "blocks": ("chunk_tokens=64", "epochs=2", "last=1", "rule.lr=0.01"),
    "lora": ("chunk_tokens=8", "rank=2", "documents=3", "rule.lr=0.05"),
    "phased": (
        "chunk_tokens=8",
        "rank=2",
        "documents=3",
        "rule.lr=0.05",
        "prefix_documents=6",
        "shared_chunk_tokens=32",
        "batch_windows=2",
        "shared.lr=0.1",
    ),
}
"""Each strategy at a size and a rate at which a tiny model learns within the stream."""


def tiny_model() -> GPT:
    """Return a random model, the same every time."""
    torch.manual_seed(0)
    model = GPT(ModelConfig(VOCAB, 16, 3, 2, 1, 24, Rope(10000.0, 8), Softcap("tanh", 15.0)))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def tiny_recipe(name: str, *more: str) -> AnyRecipe:
    """Return a recipe with windows of 16 tokens, half of them context over the stream."""
    sets = [*SETS[name], "window_tokens=16", *more]
    if name in {"scalars", "blocks"}:
        sets.append("stride_tokens=8")
    return load_recipe(name, sets).recipe


def tiny_stream(tokens: int = 320) -> Stream:
    """Return documents in which few ids of their own come again and again."""
    draw = np.random.default_rng(1)
    ids = [1]
    while len(ids) < tokens:
        own = draw.integers(2, VOCAB, 3)
        ids += [*draw.choice(own, int(draw.integers(6, 40))).tolist(), 1]
    return Stream(np.array(ids[:tokens], np.uint16), np.ones(tokens, np.int64))


@pytest.fixture
def model() -> GPT:
    """Return a tiny model."""
    return tiny_model()


@pytest.fixture
def stream() -> Stream:
    """Return a short stream."""
    return tiny_stream()


@pytest.fixture
def recipe() -> Callable[..., AnyRecipe]:
    """Return the maker of recipes."""
    return tiny_recipe
