import torch

from artpack.models.gates import exclude_self, head_gate


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def test_what_is_left_is_orthogonal_to_the_own_value() -> None:
    y, v = normal(2, 3, 4, 5), normal(2, 3, 2, 5)
    left = exclude_self(y, v)
    for head in range(4):
        own = v[:, :, head // 2]
        assert torch.allclose((left[:, :, head] * own).sum(-1), torch.zeros(2, 3), atol=1e-5)
        removed = y[:, :, head] - left[:, :, head]
        share = (removed * own).sum(-1, keepdim=True) / own.square().sum(-1, keepdim=True)
        assert torch.allclose(removed, share * own, atol=1e-5)


def test_a_zero_value_removes_nothing() -> None:
    y = normal(1, 2, 2, 3)
    assert torch.equal(exclude_self(y, torch.zeros(1, 2, 1, 3)), y)


def test_a_head_gate_is_a_sigmoid_of_the_first_channels() -> None:
    n, weight = normal(1, 2, 6), normal(3, 4)
    gate = head_gate(n, weight, 2.0)
    assert gate.shape == (1, 2, 3, 1)
    for t in range(2):
        for head in range(3):
            argument = 2.0 * (n[0, t, :4] * weight[head]).sum()
            assert torch.allclose(gate[0, t, head, 0], 1 / (1 + torch.exp(-argument)))
