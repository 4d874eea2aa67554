import pytest
import torch

from artpack.models.head import cool, softcap
from artpack.models.mechanisms import Softcap, Temperature


def test_the_polynomial_softcap_gives_the_published_values() -> None:
    raw = torch.tensor([-30, -10, -1, 0, 0.5, 5, 12, 16.9, 25])
    published = [-10, -7.333333, -0.996673, 0, 0.499584, 4.604167, 7.898880, 10, 10]
    got = softcap(raw, Softcap("poly5", 10.0)).tolist()
    assert got == pytest.approx(published, abs=1e-6)


def test_the_tanh_softcap_bounds_smoothly() -> None:
    raw = torch.tensor([-1000.0, 0.0, 15.0])
    got = softcap(raw, Softcap("tanh", 30.0))
    assert got.tolist() == pytest.approx([-30.0, 0.0, 13.863515])


def test_the_temperature_comes_before_or_after_the_softcap() -> None:
    raw, cap = torch.tensor([3.0, 40.0]), Softcap("tanh", 30.0)
    before = cool(raw, cap, Temperature(before_softcap=True), 0.5)
    assert torch.equal(before, softcap(raw / 0.5, cap))
    assert torch.equal(cool(raw, cap, Temperature(), 0.5), softcap(raw, cap) / 0.5)
