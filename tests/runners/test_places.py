"""Stored tensors are found in a model, banks among them."""

import torch
from torch import nn

from artpack.checkpoint import Bank, from_state_dict
from artpack.models import PRESETS, build
from artpack.runners.places import places
from tests.models.conftest import random_weights, shrink


def test_they_are_the_tensors_of_the_checkpoint() -> None:
    config = shrink(PRESETS["pr1934"].config)
    model = build(config, random_weights(config))
    checkpoint, found = from_state_dict(model.state_dict()), places(model)
    assert {info.name: info.shape for info in checkpoint.tensors} == {
        name: tuple(place.shape) for name, place in found.items()
    }
    for info in checkpoint.tensors:
        assert torch.equal(checkpoint.read(info.name), found[info.name])


def test_a_change_of_a_place_is_a_change_of_the_model() -> None:
    module = nn.Module()
    module.stack = nn.Parameter(torch.zeros(2, 3, 4, 5), requires_grad=False)
    bank = Bank("stack", tuple(f"stack.{i}.{j}" for i in range(2) for j in range(3)), (2, 3))
    found = places(module, [bank])
    assert sorted(found) == sorted(bank.members)
    found["stack.1.2"].fill_(7)
    assert module.stack[1, 2].eq(7).all()
    assert module.stack.sum() == 7 * 20
    assert places(module, [])["stack"].shape == (2, 3, 4, 5)
