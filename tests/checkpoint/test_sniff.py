"""Files of weights told by what they hold."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.sniff import Kind, sniff
from artpack.errors import CheckpointError, UsageError

W = {"a": torch.arange(6.0).reshape(2, 3)}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 1234\n".format("0" * 64)


def opened(path: Path) -> list[float]:
    with open_checkpoint(path) as checkpoint:
        return checkpoint.read("a").flatten().tolist()


@pytest.mark.parametrize("name", ["blob", "model.bin", "w.pt", "x.safetensors", "x.index.json"])
def test_names_have_no_say(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    save_file(W, path)
    assert sniff(path) is Kind.SAFETENSORS
    assert opened(path) == [0, 1, 2, 3, 4, 5]
    torch.save(W, path)
    assert sniff(path) is Kind.TORCH
    assert opened(path) == [0, 1, 2, 3, 4, 5]
    torch.save(W, path, _use_new_zipfile_serialization=False)
    assert opened(path) == [0, 1, 2, 3, 4, 5]


def test_an_index_and_its_shards_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "0f3a").write_bytes(save(W))
    (tmp_path / "index").write_text(json.dumps({"weight_map": {"a": "0f3a"}}))
    assert opened(tmp_path / "index") == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UsageError, match="leave the key out"):
        open_checkpoint(tmp_path / "index", key="model")


def test_a_folder_with_one_file_of_weights_needs_no_suffix(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "blob").write_bytes(save(W))
    assert opened(tmp_path) == [0, 1, 2, 3, 4, 5]
    (tmp_path / "other").write_bytes(save(W))
    with pytest.raises(CheckpointError, match="which of blob, other"):
        open_checkpoint(tmp_path)


def test_a_key_is_for_files_of_torch_whatever_they_are_called(tmp_path: Path) -> None:
    torch.save({"ema": W}, tmp_path / "w.safetensors")
    with open_checkpoint(tmp_path / "w.safetensors", key="ema") as checkpoint:
        assert checkpoint.names == ("a",)
    save_file(W, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="leave the key out"):
        open_checkpoint(tmp_path / "w.pt", key="ema")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (POINTER.encode(), "a git-lfs pointer and not the weights: run 'git lfs pull'"),
        (b"\x89ART\r\n\x1a\n" + b"\0" * 50, "an artifact of artpack and no checkpoint"),
        (b"GGUF\x03\0\0\0", "a GGUF file, cut off"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"<!doctype html><title>404</title>", "the download went wrong"),
    ],
    ids=["lfs", "artifact", "gguf", "hdf5", "html"],
)
@pytest.mark.parametrize("name", ["model.safetensors", "w.pt", "blob"])
def test_what_is_taken_for_weights_is_named(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=problem):
        open_checkpoint(tmp_path / name)


def test_a_shard_that_is_a_pointer_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.safetensors").write_text(POINTER)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"1\.safetensors: a git-lfs pointer"):
        open_checkpoint(tmp_path)


def test_arrays_of_numpy_are_no_state_dict(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    with pytest.raises(CheckpointError, match="an archive of numpy"):
        open_checkpoint(tmp_path / "w.npz")
