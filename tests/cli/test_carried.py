"""Files that an artifact carries, as commands show them."""

import json
from pathlib import Path

import pytest
import torch

import artpack
from tests.cli.conftest import Invoke

FILES = {"config.json": b"{}", "pooling/config.json": b"[1]"}


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "a.artpack"
    artpack.save({"w": torch.ones(8, 8)}, path, profile="fast", files=FILES)
    return path


def test_inspect_names_the_files(artifact: Path, invoke: Invoke) -> None:
    assert "files: config.json, pooling/config.json" in invoke("inspect", artifact).out
    assert "files: config.json" in invoke("inspect", artifact, "--markdown").out


def test_json_has_their_sizes_and_their_stored_bytes(artifact: Path, invoke: Invoke) -> None:
    told = json.loads(invoke("inspect", artifact, "--json").out)
    assert told["files"] == {"config.json": 2, "pooling/config.json": 3}
    tensors = sum(row["stored_bytes"] for row in told["tensors"])
    assert tensors + sum(told["overhead"].values()) == told["file_bytes"]
    assert told["overhead"]["files"] > 0


def test_the_page_lists_the_files(artifact: Path, invoke: Invoke) -> None:
    page = artifact.with_name("page.html")
    assert invoke("inspect", artifact, "--html", page).code == 0
    text = page.read_text()
    assert "Files, bytes" in text
    assert "pooling/config.json" in text


def test_verify_says_what_is_wrong_with_damaged_files(artifact: Path, invoke: Invoke) -> None:
    sound = invoke("verify", artifact)
    content = bytearray(artifact.read_bytes())
    content[-33] ^= 1
    artifact.write_bytes(content)
    damaged = invoke("verify", artifact)
    assert (sound.code, damaged.code) == (0, 1)
    assert "the carried files' checksum does not match" in damaged.err
