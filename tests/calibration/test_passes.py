"""Passes of a calibration find what one pass finds, with less memory at a time."""

import copy

import pytest
import torch
from torch import nn

from artpack.api import running
from artpack.api.calibrate import calibrate
from artpack.calibration.file import KINDS
from artpack.calibration.moments import moments_bytes
from artpack.calibration.passes import plan_passes


def test_a_tensor_that_needs_more_has_a_pass_of_its_own() -> None:
    places = {"a": torch.zeros(2, 2), "big": torch.zeros(2, 90), "c": torch.zeros(2, 2)}
    sizes = moments_bytes(places)

    parts = plan_passes(places, sizes["a"] + sizes["c"])

    assert [list(part) for part in parts] == [["a"], ["big"], ["c"]]
    assert plan_passes({}, 10) == [{}]


def test_passes_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4), nn.Linear(4, 3))
    batches = [torch.randn(5, 6, generator=generator) for _ in range(3)]
    whole = calibrate(copy.deepcopy(module), batches=batches)
    monkeypatch.setattr(running, "MAX_BYTES", 600)
    notes: list[str] = []

    parts = calibrate(module, batches=batches, progress=lambda *told: notes.append(told[-1]))

    assert notes[0].endswith("the model runs over the data 2 times")
    assert "pass 2 of 2" in notes
    assert parts.tokens == whole.tokens
    assert parts.fingerprint == whole.fingerprint
    for kind in KINDS:
        one, other = getattr(whole, kind), getattr(parts, kind)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
