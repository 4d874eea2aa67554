"""The divergence is the one that a plain computation gives, and the model stays as it was."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.checkpoint import Bank
from artpack.models import GPT, PRESETS, build
from artpack.runners import divergence
from artpack.runners.batches import TokenBatches
from artpack.runners.divergence import Divergence
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from tests.models.conftest import random_weights, shrink

WINDOWS = np.random.default_rng(0).integers(0, 61, (5, 8))
EMBEDDING = "tok_emb.weight"


def make(preset: str) -> GPT:
    config = shrink(PRESETS[preset].config)
    return build(config, random_weights(config))


@pytest.fixture
def model() -> GPT:
    """Return a small model."""
    return make("lm6m")


def divergence_of(
    model: GPT, banks: Sequence[Bank] = (), *, batch_tokens: int = 1000
) -> Divergence:
    batches = TokenBatches(WINDOWS, batch_tokens)
    return Divergence(GptRunner(model), batches, places(model, banks))


@torch.no_grad()
def plain(model: GPT, changed: dict[str, Tensor], stride: int = 1) -> float:
    """Compute the mean divergence at once, in float64."""
    ids = torch.from_numpy(WINDOWS)
    before = model.double()(ids).flatten(0, 1)[::stride].log_softmax(-1)
    model.load_state_dict({**model.state_dict(), **changed})
    after = model(ids).flatten(0, 1)[::stride].log_softmax(-1)
    return float((before.exp() * (before - after)).sum(-1).mean())


def noisy(tensor: Tensor) -> Tensor:
    return tensor + 0.1 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("batch_tokens", [8, 24, 1000])
def test_it_is_that_of_a_plain_computation(model: GPT, batch_tokens: int) -> None:
    changed = {EMBEDDING: noisy(model.state_dict()[EMBEDDING])}
    loss = divergence_of(model, batch_tokens=batch_tokens)
    assert loss(changed) == pytest.approx(plain(model, changed), rel=1e-4)


def test_the_model_is_left_as_it_was(model: GPT) -> None:
    loss = divergence_of(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert loss({EMBEDDING: noisy(before[EMBEDDING])}) > 0
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert loss({}) == 0


def test_slices_of_banks_are_replaced_by_their_own_names() -> None:
    model = make("pr1934")
    bank = model.state_dict()["mlp_up_bank"]
    names = tuple(f"blocks.{layer}.mlp.fc.weight" for layer in range(len(bank)))
    sliced = divergence_of(model, [Bank("mlp_up_bank", names)])
    slice_2 = noisy(bank[2])
    whole = bank.clone()
    whole[2] = slice_2
    expected = divergence_of(model)({"mlp_up_bank": whole})
    assert sliced({names[2]: slice_2}) == pytest.approx(expected)


def test_many_positions_are_thinned_out(model: GPT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(divergence, "MAX_OUTPUTS", WINDOWS.size * 61 // 4)
    changed = {EMBEDDING: noisy(model.state_dict()[EMBEDDING])}
    loss = divergence_of(model)
    assert loss(changed) == pytest.approx(plain(model, changed, stride=4), rel=1e-4)


def test_what_the_model_has_not_costs_nothing(model: GPT) -> None:
    assert divergence_of(model)({"nothing": torch.zeros(1)}) == 0
