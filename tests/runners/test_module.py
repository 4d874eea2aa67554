"""Modules are run on whatever their batches are, and their outputs are found."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from artpack.errors import UsageError
from artpack.runners.module import ModuleRunner, call, first_tensor

X, Y = torch.arange(6.0).reshape(2, 3), torch.ones(2, 3)


class Sum(nn.Module):
    """Adds two tensors."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x if y is None else x + 2 * y


@pytest.mark.parametrize("batch", [(X, Y), [X, Y], {"y": Y, "x": X}])
def test_a_batch_holds_the_arguments(batch: Any) -> None:
    assert torch.equal(ModuleRunner(Sum()).states(batch), X + 2)
    assert torch.equal(call(Sum(), X), X)


def test_every_axis_but_the_last_counts_rows() -> None:
    runner = ModuleRunner(nn.Identity())
    whole = torch.randn(2, 3, 4, 5)
    assert torch.equal(runner.outputs(runner.states(whole)), whole.reshape(24, 5))
    assert runner.states(torch.randn(7)).shape == (7, 1)
    assert runner.states(torch.tensor(1.5)).shape == (1, 1)


def test_outputs_of_recurrent_layers_are_the_first_of_two() -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 4, batch_first=True)
    outputs = lstm(X[None])[0]
    assert torch.equal(ModuleRunner(lstm).states(X[None]), outputs[0])


@pytest.mark.parametrize(
    "result",
    [
        X,
        (X, Y),
        [[X], Y],
        {"logits": X, "loss": Y},
        {"logits": None, "last_hidden_state": X},
        SimpleNamespace(logits=X),
        SimpleNamespace(last_hidden_state=X, pooler_output=Y),
    ],
)
def test_the_outputs_are_found_in_what_a_module_gives(result: Any) -> None:
    assert first_tensor(result) is X


@pytest.mark.parametrize("result", [None, (), 3, torch.zeros(2, dtype=torch.int64), {"boxes": X}])
def test_what_is_no_tensor_of_numbers_asks_for_forward(result: Any) -> None:
    with pytest.raises(UsageError, match="not a tensor of real numbers: say with `forward=`"):
        first_tensor(result)


def test_outputs_can_be_chosen() -> None:
    runner = ModuleRunner(Sum(), lambda module, batch: {"boxes": module(batch)}["boxes"] * 2)
    assert torch.equal(runner.states(X), 2 * X)


def test_a_fingerprint_tells_modules_apart_and_not_their_weights() -> None:
    def fingerprint(*layers: nn.Module) -> str:
        return ModuleRunner(nn.Sequential(*layers)).fingerprint

    assert fingerprint(nn.Linear(2, 3)) == fingerprint(nn.Linear(2, 3))
    others = [
        fingerprint(nn.Linear(2, 3)),
        fingerprint(nn.Linear(3, 2)),
        fingerprint(nn.Linear(2, 3, bias=False)),
        fingerprint(nn.Linear(2, 3), nn.ReLU()),
        fingerprint(nn.Linear(2, 3), nn.GELU()),
    ]
    assert len(set(others)) == len(others)
