import torch

from artpack.models.residual import LaneMix, add_skip, read_lanes


def ones(value: float) -> torch.Tensor:
    return torch.full((1, 1, 2), value)


def test_a_plain_skip_is_added_with_its_weight() -> None:
    joined = add_skip(ones(1.0), ones(10.0), torch.tensor([0.5, 2.0]), None)
    assert joined.tolist() == [[[6.0, 21.0]]]


def test_a_gated_skip_is_a_mixture() -> None:
    weight, gate = torch.tensor([0.5, 2.0]), torch.tensor([0.0, 2.0])
    share = 1 / (1 + torch.exp(-gate))
    expected = share * ones(1.0) + (1 - share) * weight * ones(10.0)
    assert torch.allclose(add_skip(ones(1.0), ones(10.0), weight, gate), expected)


def test_each_lane_takes_both_additions_by_its_own_factors() -> None:
    keep, post = torch.tensor([2.0, 3.0]), torch.tensor([[5.0, 7.0], [11.0, 13.0]])
    lanes = LaneMix()((ones(1.0), ones(10.0)), (ones(100.0), ones(1000.0)), keep, post)
    assert lanes[0][0, 0, 0] == 2 * 1 + 5 * 100 + 11 * 1000
    assert lanes[1][0, 0, 0] == 3 * 10 + 7 * 100 + 13 * 1000


def test_lanes_are_read_as_told() -> None:
    lanes = ones(1.0), ones(3.0)
    assert torch.equal(read_lanes(lanes, "mean"), ones(2.0))
    assert torch.equal(read_lanes(lanes, "attention"), ones(1.0))
    assert torch.equal(read_lanes(lanes, "mlp"), ones(3.0))
