"""The curvature is the loss that small errors add."""

import pytest
import torch
from torch import nn

from artpack.runners.batches import ModuleBatches
from artpack.runners.curvature import FEWEST_SAMPLES, Curvature
from artpack.runners.losses import make_loss
from artpack.runners.module import ModuleRunner
from artpack.runners.places import places


def test_errors_of_linear_layers_cost_what_they_change() -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 4, bias=False))
    x = torch.randn(400, 6, generator=generator) * torch.tensor([3.0, 1, 1, 1, 0.1, 0.1])
    runner = ModuleRunner(module)
    with torch.no_grad():
        outputs = module(x)
    runner.loss = make_loss("outputs", lambda: outputs)
    errors = {
        "0.weight": 0.1 * torch.randn(5, 6, generator=generator),
        "1.weight": 0.1 * torch.randn(4, 5, generator=generator),
        "elsewhere": torch.ones(2, 2),
    }

    found = Curvature(runner, ModuleBatches([x]).samples(), places(module))(errors)

    variance = float((outputs - outputs.mean(0)).square().sum(-1).mean())
    weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert found.keys() == weights.keys()
    for name, (loss, spread) in found.items():
        module.load_state_dict(weights | {name: weights[name] + errors[name]})
        with torch.no_grad():
            exact = float((module(x) - outputs).square().sum(-1).mean()) / variance
        assert 2 / len(x) < spread < 0.05  # rows differ in size, so samples do more than draws
        assert loss == pytest.approx(exact, rel=5 * spread**0.5)
        module.load_state_dict(weights)
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_few_batches_are_drawn_from_several_times() -> None:
    module, told = nn.Linear(3, 2), list[tuple[int, int]]()
    curvature = Curvature(
        ModuleRunner(module),
        ModuleBatches([torch.ones(1, 3), torch.zeros(1, 3)]),
        places(module),
        progress=lambda *said: told.append(said[1:3]),
    )

    curvature({"weight": torch.ones(2, 3)})

    assert told[-1] == (FEWEST_SAMPLES, FEWEST_SAMPLES)
