"""Loading on several cores gives what loading on one does, errors included."""

import numpy as np
import pytest
import torch

import artpack
from artpack.artifact.reader import open_artifact
from artpack.errors import CorruptError
from artpack.system import workers


def packed() -> bytes:
    chance = torch.Generator().manual_seed(0)
    weights = {f"{i}.weight": torch.randn(64, 40 + i, generator=chance) for i in range(6)}
    return artpack.compress(weights, recipe="frontier", profile="fast").content()


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_tensors_are_the_same_on_any_number_of_cores(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = packed()
    with open_artifact(content) as one_by_one:
        expected = {name: one_by_one.stored_tensor(name) for name in one_by_one}
    monkeypatch.setattr(workers, "cores", lambda: cores)
    with open_artifact(content) as artifact:
        loaded = artifact.load()
    assert list(loaded) == list(expected)
    assert all(np.array_equal(loaded[name], expected[name]) for name in expected)


@pytest.mark.parametrize("cores", [1, 3])
def test_a_damaged_stream_is_refused_on_any_number_of_cores(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(packed())
    content[-60] ^= 1
    monkeypatch.setattr(workers, "cores", lambda: cores)
    with open_artifact(bytes(content)) as artifact, pytest.raises(CorruptError, match="checksum"):
        artifact.load()


def test_an_unknown_name_is_a_key_error() -> None:
    with open_artifact(packed()) as artifact, pytest.raises(KeyError, match="nothing"):
        artifact.load(["nothing"])
