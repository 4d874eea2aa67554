"""Tensors that a file format has no place for."""

from pathlib import Path

import pytest
import torch

import artpack
from tests.cli.conftest import Invoke


@pytest.mark.parametrize("dtype", [torch.complex128, torch.bits8], ids=str)
def test_what_safetensors_has_no_type_for_is_named(
    invoke: Invoke, tmp_path: Path, dtype: torch.dtype
) -> None:
    weights = {"a": torch.ones(3), "odd": torch.arange(48, dtype=torch.uint8).view(dtype)}
    artpack.save(weights, tmp_path / "a", profile="fast")
    done = invoke("unpack", tmp_path / "a", "-o", tmp_path / "w.safetensors")
    assert done.code == 2
    assert f"'odd': safetensors has no {dtype}" in done.err
    assert not (tmp_path / "w.safetensors").exists()
    assert invoke("unpack", tmp_path / "a", "-o", tmp_path / "w.pt").code == 0
    back = torch.load(tmp_path / "w.pt", weights_only=True)["odd"]
    assert back.dtype == dtype
    assert torch.equal(back.view(torch.uint8), weights["odd"].view(torch.uint8))


def test_a_folder_is_new_or_left_alone(invoke: Invoke, tmp_path: Path) -> None:
    files = {"config.json": b"{}", "tokenizer.json": b"[]"}
    artpack.save({"w": torch.ones(4, 4)}, tmp_path / "a", profile="fast", files=files)
    folder = tmp_path / "Model-0.5B"
    done = invoke("unpack", tmp_path / "a", "-o", folder)
    assert (done.code, done.out.startswith(f"{folder}: 1 tensors")) == (0, True)
    assert {path.name for path in folder.iterdir()} == {*files, "model.safetensors"}
    again = invoke("unpack", tmp_path / "a", "-o", folder)
    assert (again.code, again.err) == (1, f"artpack: {folder}: directory not empty\n")
