"""``artpack rebuild``: one line if identical, a table and exit code 1 if not."""

import json
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Invoke


@pytest.fixture
def packed(invoke: Invoke, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(checkpoint.parent)
    done = invoke("compress", "ckpt.pt", "-o", "a.artpack", "--profile", "fast")
    assert done.code == 0, done.err
    return checkpoint.with_name("a.artpack")


def test_identical_is_one_line(invoke: Invoke, packed: Path) -> None:
    done = invoke("rebuild", "a.artpack", "--checkpoint", "ckpt.pt")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"a.artpack: identical, {packed.stat().st_size:,} bytes\n"


def test_what_differs_is_listed(invoke: Invoke, packed: Path) -> None:
    weights = torch.load("ckpt.pt", weights_only=True)["model"]
    name = next(name for name, tensor in weights.items() if tensor.is_floating_point())
    weights[name] = -weights[name]
    torch.save({"model": weights, "step": 5}, "other.pt")
    done = invoke("rebuild", "a.artpack", "--checkpoint", "other.pt")
    assert done.code == 1
    head, _, first, *_, symbols, coding = done.out.splitlines()
    assert head.startswith("a.artpack: differs, in ")
    assert first.split()[:2] == ["input", "source_sha256"]
    assert f" in 1 tensors, {name} first (" in symbols
    assert coding == "coding: the file's own symbols, coded again, give its own streams"

    done = invoke("rebuild", "a.artpack", "--checkpoint", "other.pt", "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert (found["artifact"], found["identical"]) == ("a.artpack", False)
    assert found["differences"][0]["where"] == "source_sha256"
    assert [one["name"] for one in found["changed"]] == [name]
    assert found["same_coding"] is True


def test_what_was_not_made_of_a_checkpoint_is_one_line(invoke: Invoke, packed: Path) -> None:
    done = invoke("rebuild", "ckpt.pt", "--checkpoint", "ckpt.pt")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
