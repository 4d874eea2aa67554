"""Muon against float64 written out, and against torch's own."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.training.muon import POLAR_EXPRESS, QUINTIC, Muon, Triple, orthogonalize

Matrix = NDArray[np.float64]
BF16_ERROR = 15 / 256
"""Five rounds of three products, each of which rounds to 8 bits."""
SHAPES = [(8, 8), (24, 8), (8, 24)]


def reference_rounds(matrix: Matrix, coefficients: tuple[Triple, ...]) -> Matrix:
    """Apply the rounds to the singular values alone: every round keeps the singular vectors."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = values / (np.linalg.norm(values) + 1e-7)
    for a, b, c in coefficients:
        values = a * values + b * values**3 + c * values**5
    result: Matrix = (left * values) @ right
    return result


def gradients(shape: tuple[int, ...], steps: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(steps)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("coefficients", [(QUINTIC,) * 5, POLAR_EXPRESS])
def test_orthogonalize_is_its_polynomial_of_the_singular_values(
    shape: tuple[int, int], coefficients: tuple[Triple, ...]
) -> None:
    (matrix,) = gradients(shape, 1)
    ours = orthogonalize(matrix, coefficients, dtype=torch.float64).numpy()
    np.testing.assert_allclose(ours, reference_rounds(matrix.numpy(), coefficients), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_is_the_same_up_to_its_rounding(shape: tuple[int, int]) -> None:
    (matrix,) = gradients(shape, 1)
    exact = orthogonalize(matrix, (QUINTIC,) * 5, dtype=torch.float64)
    error = orthogonalize(matrix, (QUINTIC,) * 5).double() - exact
    assert float(error.norm() / exact.norm()) < BF16_ERROR


def test_polar_express_comes_closer_to_orthogonal_than_the_quintic() -> None:
    (matrix,) = gradients((24, 24), 1)
    errors = {}
    for name, coefficients in {"quintic": (QUINTIC,) * 5, "polar": POLAR_EXPRESS}.items():
        values = torch.linalg.svdvals(orthogonalize(matrix, coefficients, dtype=torch.float64))
        errors[name] = float((values - 1).abs().mean())
    assert errors["polar"] < errors["quintic"]


@pytest.mark.parametrize("normalize_rows", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_steps_are_those_of_a_float64_reference(
    shape: tuple[int, int], *, normalize_rows: bool
) -> None:
    rows, cols = shape
    weight = torch.nn.Parameter(torch.full(shape, 0.5, dtype=torch.float64))
    optimizer = Muon(
        [weight], lr=0.1, weight_decay=0.2, normalize_rows=normalize_rows, dtype=torch.float64
    )
    expected, buffer = np.full(shape, 0.5), np.zeros(shape)
    for step, gradient in enumerate(gradients(shape, 4)):
        momentum = 0.85 + 0.03 * step
        optimizer.param_groups[0]["momentum"] = momentum
        weight.grad = gradient.clone()
        optimizer.step()
        buffer = momentum * buffer + gradient.numpy()
        update = gradient.numpy() + momentum * buffer
        if normalize_rows:
            update /= np.linalg.norm(update, axis=1, keepdims=True)
        update = reference_rounds(update, (QUINTIC,) * 5)
        expected = expected * (1 - 0.1 * 0.2) - 0.1 * max(1, rows / cols) ** 0.5 * update
    np.testing.assert_allclose(weight.detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_constant_momentum_is_torchs_own(shape: tuple[int, int]) -> None:
    ours, torchs = (torch.nn.Parameter(torch.zeros(shape)) for _ in range(2))
    optimizers = [
        Muon([ours], lr=0.02, weight_decay=0.1, momentum=0.9),
        torch.optim.Muon([torchs], lr=0.02, weight_decay=0.1, momentum=0.9),
    ]
    for gradient in gradients(shape, 5):
        for weight, optimizer in zip((ours, torchs), optimizers, strict=True):
            weight.grad = gradient.float()
            optimizer.step()
    assert float((ours - torchs).norm().detach() / torchs.norm().detach()) < BF16_ERROR


def test_a_bank_is_its_slices() -> None:
    bank = torch.nn.Parameter(torch.zeros(3, 12, 8))
    slices = [torch.nn.Parameter(torch.zeros(12, 8)) for _ in range(3)]
    optimizers = [Muon([bank], dtype=torch.float64), Muon(slices, dtype=torch.float64)]
    for gradient in gradients((3, 12, 8), 3):
        bank.grad = gradient.float()
        for weight, own in zip(slices, gradient, strict=True):
            weight.grad = own.float()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(bank.detach(), torch.stack([s.detach() for s in slices]))
