"""Folders and shard indexes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from artpack.checkpoint import open_checkpoint
from artpack.errors import CheckpointError, UsageError

ONE, TWO = {"z": torch.ones(2), "m": torch.ones(3)}, {"a": torch.zeros(4)}


def write(path: Path, weights: dict[str, Tensor]) -> None:
    save_file(weights, path) if path.suffix == ".safetensors" else torch.save(weights, path)


def write_index(path: Path, weight_map: object) -> Path:
    path.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return path


@pytest.mark.parametrize(
    ("index", "suffix"),
    [("model.safetensors.index.json", ".safetensors"), ("pytorch_model.bin.index.json", ".bin")],
)
def test_shards_are_read_in_the_order_of_the_index(tmp_path: Path, index: str, suffix: str) -> None:
    write(tmp_path / f"1{suffix}", ONE)
    write(tmp_path / f"2{suffix}", TWO)
    path = write_index(tmp_path / index, {"z": f"1{suffix}", "a": f"2{suffix}", "m": f"1{suffix}"})
    for given, notes in ((path, ()), (tmp_path, (f"took {index} of the folder",))):
        with open_checkpoint(given) as checkpoint:
            assert checkpoint.names == ("z", "a", "m")
            assert checkpoint.notes == notes
            for name, weight in (ONE | TWO).items():
                assert torch.equal(checkpoint.read(name), weight)


def test_what_the_index_does_not_list_is_left_out_and_said(tmp_path: Path) -> None:
    torch.save({**ONE, "extra": torch.ones(1), "step": 5}, tmp_path / "1.bin")
    path = write_index(tmp_path / "x.bin.index.json", {"z": "1.bin", "m": "1.bin"})
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.names == ("z", "m")
        assert checkpoint.notes == (
            "left out, in 1.bin but not in the index: extra",
            "1.bin: left out, not tensors: 'step' (int)",
        )


def test_a_shard_that_is_missing_or_lacks_a_tensor_is_named(tmp_path: Path) -> None:
    write(tmp_path / "1.safetensors", ONE)
    path = tmp_path / "model.safetensors.index.json"
    write_index(path, {"z": "1.safetensors", "a": "2.safetensors"})
    with pytest.raises(CheckpointError, match=r"the shard 2\.safetensors is missing"):
        open_checkpoint(path)
    write_index(path, {"z": "1.safetensors", "a": "1.safetensors"})
    with pytest.raises(CheckpointError, match=r"1\.safetensors does not hold a$"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "shard",
    ["../x.bin", "/etc/passwd", "sub/x.bin", "..", ".", "", "sub\\x.bin", "C:x.bin", "x/", 5, None],
)
def test_a_shard_outside_the_folder_is_refused(tmp_path: Path, shard: object) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("x.bin", "sub/x.bin", "sub/sub\\x.bin"):
        torch.save({"a": torch.ones(1)}, tmp_path / name)
    path = write_index(tmp_path / "sub" / "model.bin.index.json", {"a": shard})
    with pytest.raises(CheckpointError, match="not a file of this folder"):
        open_checkpoint(path)


@pytest.mark.parametrize("shard", ["nul\0.bin", "\ud800.bin", "a" * 300])
def test_a_shard_with_an_impossible_name_is_missing(tmp_path: Path, shard: str) -> None:
    path = write_index(tmp_path / "model.bin.index.json", {"a": shard})
    with pytest.raises(CheckpointError, match="is missing"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"weight_map": []}',
        b'{"weight_map": {}}',
    ],
    ids=["empty", "open", "binary", "deep", "list", "no map", "list for map", "empty map"],
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a shard index"):
        open_checkpoint(path)


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not a shard index \(no such file or directory\)"):
        open_checkpoint(tmp_path / "model.safetensors.index.json")


def test_an_index_has_no_keys(tmp_path: Path) -> None:
    write(tmp_path / "1.bin", ONE)
    path = write_index(tmp_path / "x.bin.index.json", {"z": "1.bin"})
    with pytest.raises(UsageError, match="leave the key out"):
        open_checkpoint(path, key="model")


def test_a_folder_is_taken_in_the_documented_order(tmp_path: Path) -> None:
    ranks = [
        "final.pt",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "other.safetensors",
        "model.safetensors",
        "other.safetensors.index.json",
        "model.safetensors.index.json",
    ]
    for rank, name in enumerate(ranks):
        if name.endswith(".json"):
            shard = f"shard{rank}.{'bin' if 'bin' in name else 'safetensors'}"
            write(tmp_path / shard, {f"rank{rank}": torch.ones(1)})
            write_index(tmp_path / name, {f"rank{rank}": shard})
        else:
            write(tmp_path / name, {f"rank{rank}": torch.ones(1)})
        with open_checkpoint(tmp_path) as checkpoint:
            assert checkpoint.names == (f"rank{rank}",)
            assert checkpoint.notes == (f"took {name} of the folder",)


def test_an_ambiguous_folder_names_its_candidates(tmp_path: Path) -> None:
    for name in ("b.pt", "a.bin", "c.pth", "config.json", ".hidden.pt"):
        write(tmp_path / name, ONE)
    with pytest.raises(CheckpointError, match=r"which of a\.bin, b\.pt, c\.pth\? give the file"):
        open_checkpoint(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(CheckpointError, match="no weights in this folder"):
        open_checkpoint(tmp_path)


def test_symbolic_links_are_followed_as_in_the_hugging_face_cache(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    write(tmp_path / "blobs" / "0123.safetensors", TWO)
    (tmp_path / "snapshot" / "1.safetensors").symlink_to("../blobs/0123.safetensors")
    write_index(tmp_path / "snapshot" / "model.safetensors.index.json", {"a": "1.safetensors"})
    with open_checkpoint(tmp_path / "snapshot") as checkpoint:
        assert torch.equal(checkpoint.read("a"), TWO["a"])
