import pytest
import torch

from artpack.models.mlp import squared_relu


@pytest.mark.parametrize("slope", [0.0, 0.5, 0.9, 1.0])
def test_the_activation_is_the_square_of_a_leaky_relu(slope: float) -> None:
    u = torch.tensor([-3.0, -0.5, 0.0, 0.25, 2.0])
    expected = [max(value, slope * value) ** 2 for value in u.tolist()]
    assert torch.allclose(squared_relu(u, slope), torch.tensor(expected))
