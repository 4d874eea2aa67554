"""Losses are 0 where nothing changes, and what is drawn from them has their second derivative."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.runners.batches import ModuleBatches
from artpack.runners.losses import (
    CosineLoss,
    CustomLoss,
    LogitsLoss,
    OutputLoss,
    SquaredLoss,
    make_loss,
)

OUTPUTS = torch.tensor([[0.3, -1.2, 0.8], [2.0, 0.1, -0.4]])
DRAWS = 20_000


def half_of_squares(before: Tensor, after: Tensor) -> Tensor:
    """Return a loss whose curve is that of the squared error with variance 1."""
    return (before - after).square().sum(-1)


LOSSES: dict[str, OutputLoss] = {
    "logits": LogitsLoss(),
    "outputs": SquaredLoss(variance=2.5),
    "cosine": CosineLoss(),
    "custom": CustomLoss(half_of_squares),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_zero_where_nothing_changes(name: str) -> None:
    loss, bf16 = LOSSES[name], OUTPUTS.bfloat16()
    found = loss.distance(loss.reference(bf16), bf16)
    assert found.shape == (2,)
    torch.testing.assert_close(found, torch.zeros(2), rtol=0, atol=1e-6)
    moved = loss.distance(loss.reference(OUTPUTS), OUTPUTS + torch.tensor([0.1, 0.0, -0.2]))
    assert moved.min() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_drawn_has_the_second_derivative_as_its_mean(name: str) -> None:
    loss, batches = LOSSES[name], ModuleBatches([OUTPUTS])
    for row in OUTPUTS[:, None]:
        reference = loss.reference(row)

        def distance(x: Tensor, reference: Tensor = reference) -> Tensor:
            return loss.distance(reference, x).sum()

        hessian: Any = torch.autograd.functional.hessian  # which has no types
        curve = hessian(distance, row)[0, :, 0].double()
        # Many equal rows are as many draws.
        many = row.expand(DRAWS, -1).clone().requires_grad_()
        drawn = loss.sample(many, batches.draws(0, seed=1))
        (gradients,) = torch.autograd.grad(drawn, many)
        products = torch.einsum("ni,nj->nij", gradients.double(), gradients.double())
        error = products.std(0) / DRAWS**0.5
        assert ((products.mean(0) - curve).abs() <= 5 * error + 1e-6).all()
        squares = loss.squares(row)[0].double()
        torch.testing.assert_close(squares, curve.diagonal(), rtol=1e-5, atol=1e-6)


def test_the_squared_error_is_a_share_of_the_variance() -> None:
    outputs = torch.tensor([[1.0, 0.0], [-1.0, 4.0], [3.0, 2.0]])
    variance = float(np.var(outputs.numpy(), axis=0).sum())
    loss = make_loss("outputs", lambda: outputs)
    mean = outputs.mean(0).expand(3, -1)
    assert loss.distance(loss.reference(mean), outputs).mean() == pytest.approx(1)
    assert loss == SquaredLoss(pytest.approx(variance))  # type: ignore[arg-type]


def test_cosines_do_not_know_lengths() -> None:
    loss = CosineLoss()
    turned = torch.tensor([[1.2, 0.3, 0.0], [0.0, 0.0, 0.4]])
    expected = 1 - torch.cosine_similarity(OUTPUTS, turned)
    torch.testing.assert_close(loss.distance(loss.reference(OUTPUTS), turned), expected)
    torch.testing.assert_close(loss.distance(loss.reference(7 * OUTPUTS), turned), expected)


@pytest.mark.parametrize(
    ("function", "gives"),
    [
        (lambda a, b: (a - b).square(), r"\(2, 3\)"),
        (lambda a, b: (a - b).square().mean(), r"\(\)"),
        (lambda a, b: float((a - b).sum()), "float"),
    ],
)
def test_a_loss_of_another_shape_is_named(
    function: Callable[[Tensor, Tensor], Tensor], gives: str
) -> None:
    loss = make_loss(function, lambda: OUTPUTS)
    with pytest.raises(UsageError, match=rf"one number a row, a tensor \(2,\); it gave {gives}"):
        loss.distance(loss.reference(OUTPUTS), OUTPUTS)


def test_losses_go_by_name() -> None:
    assert isinstance(make_loss("logits", lambda: OUTPUTS), LogitsLoss)
    assert isinstance(make_loss("cosine", lambda: OUTPUTS), CosineLoss)
    with pytest.raises(UsageError, match="logits, outputs, cosine or a function, got 'kl'"):
        make_loss("kl", lambda: OUTPUTS)


@pytest.mark.parametrize("same", [torch.ones(4, 2), torch.tensor([[0.0], [torch.nan]])])
def test_outputs_that_are_all_the_same_tell_nothing(same: Tensor) -> None:
    with pytest.raises(UsageError, match=r"the same in each|NaN or infinite"):
        make_loss("outputs", lambda: same)
