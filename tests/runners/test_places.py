"""Stored tensors are found in a model, banks among them."""

import torch
from torch import Tensor, nn

from artpack.checkpoint import Bank, from_state_dict
from artpack.models import PRESETS, build
from artpack.runners.places import find_places, places
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


class Fused(nn.Module):
    """Has two stored matrices in one, and a stack of experts the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.randn(2, 8, 4))
        self.down = nn.Parameter(torch.randn(2, 6, 5))
        self.norm = nn.Parameter(torch.ones(4))


def stored_tensors(module: Fused) -> dict[str, Tensor]:
    stored = {"norm": module.norm.detach().clone()}
    for expert in range(2):
        gate, up = module.gate_up.detach()[expert].clone().chunk(2)
        down = module.down.detach()[expert].T.contiguous()
        stored |= {
            f"{expert}.gate": gate.clone(),
            f"{expert}.up": up.clone(),
            f"{expert}.down": down,
        }
    return stored


def test_what_a_module_has_fused_or_turned_is_found_by_its_content() -> None:
    torch.manual_seed(0)
    module = Fused()
    stored = stored_tensors(module)
    found = find_places(module, from_state_dict(stored))
    assert list(found) == list(stored)
    assert all(torch.equal(found[name], tensor) for name, tensor in stored.items())
    found["1.up"].fill_(7)
    found["0.down"].fill_(8)
    assert module.gate_up[1, 4:].eq(7).all()
    assert module.gate_up.eq(7).sum() == 16
    assert module.down[0].eq(8).all()
    assert module.down.eq(8).sum() == 30


def test_what_a_module_has_not_is_left_out() -> None:
    torch.manual_seed(0)
    module = Fused()
    others = {"0.gate": torch.randn(4, 4), "empty": torch.zeros(0, 4), "norm": torch.ones(5)}
    assert find_places(module, from_state_dict(others)) == {}


def test_stored_in_another_precision_is_found() -> None:
    torch.manual_seed(0)
    half = {name: tensor.bfloat16() for name, tensor in stored_tensors(Fused()).items()}
    module = Fused()
    with torch.no_grad():
        module.gate_up.copy_(
            torch.stack([torch.cat([half[f"{i}.gate"], half[f"{i}.up"]]) for i in range(2)])
        )
        module.down.copy_(torch.stack([half[f"{i}.down"].T for i in range(2)]))
    assert find_places(module, from_state_dict(half)).keys() == half.keys()
