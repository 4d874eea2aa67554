"""``artpack import`` and ``artpack export`` as a user meets them."""

import json
from pathlib import Path

import pytest
import torch

import artpack
from artpack.interop import write_container
from tests.cli.conftest import Invoke
from tests.interop.containers import make


@pytest.fixture
def container(tmp_path: Path) -> Path:
    path = tmp_path / "model.ptz"
    path.write_bytes(write_container(make("torch-zstd"), "torch-zstd"))
    return path


def test_import_says_what_it_saved_and_export_gives_the_same_file(
    invoke: Invoke, container: Path
) -> None:
    target = container.with_suffix(".artpack")
    done = invoke("import", container, "--profile", "fast")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{target}: {container.stat().st_size:,} -> ")
    assert "6 tensors out of torch-zstd (pr576), the same integers" in done.out
    assert "can be unpacked, but not scored without --model" in done.err
    again = container.with_name("again.ptz")
    done = invoke("export", target, "--as", "torch-zstd", "-o", again)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{again}: {container.stat().st_size:,} bytes, 6 tensors in torch-")
    assert again.read_bytes() == container.read_bytes()


def test_both_as_json(invoke: Invoke, container: Path) -> None:
    target, again = container.with_name("a.bin"), container.with_name("again.ptz")
    done = invoke("import", container, "-o", target, "--profile", "fast", "--json")
    summary = json.loads(done.out)
    assert summary["format"] == "torch-zstd"
    assert summary["bytes_in"] == container.stat().st_size
    assert summary["bytes_out"] == target.stat().st_size
    assert summary["bytes_saved"] == summary["bytes_in"] - summary["bytes_out"]
    weights = artpack.load(target)
    assert weights["tok_emb.weight"].dtype == torch.bfloat16
    wanted = make("torch-zstd").weights()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    done = invoke("export", target, "--as", "torch-zstd", "-o", again, "--json")
    summary = json.loads(done.out)
    assert (summary["bytes_out"], summary["tensors"]) == (again.stat().st_size, 6)


def test_what_cannot_be_is_one_line_and_an_exit_code(invoke: Invoke, container: Path) -> None:
    target = container.with_name("a.bin")
    assert invoke("import", container, "-o", target, "--profile", "fast").code == 0
    done = invoke("import", target)
    assert (done.code, done.err) == (2, "artpack: this is an artpack artifact already\n")
    done = invoke("import", container, "-o", container)
    assert done.code == 2
    assert "would replace its source" in done.err
    done = invoke("export", target, "--as", "per-stream", "-o", target)
    assert done.code == 2
    assert "'tok_emb.weight': the format has no place for int8" in done.err
    container.write_bytes(container.read_bytes()[:-5])
    done = invoke("import", container)
    assert done.code == 1
    assert done.err == f"artpack: {container}: zstd: the stream ends early, after 0 bytes\n"
    done = invoke("import", container, "--max-decoded-bytes", 10)
    assert done.code == 1
    assert "raise the limit" in done.err or "ends early" in done.err
    assert not container.with_suffix(".artpack").exists()


def test_ties_are_not_exported(invoke: Invoke, tmp_path: Path) -> None:
    weight = torch.ones(4, 4)
    path = tmp_path / "tied.bin"
    artpack.save({"tok_emb.weight": weight, "lm_head.weight": weight}, path, profile="fast")
    done = invoke("export", path, "--as", "torch-lzma", "-o", tmp_path / "x")
    assert done.code == 2
    assert "'lm_head.weight' is tied to 'tok_emb.weight'" in done.err


def test_the_formats_are_explained(invoke: Invoke) -> None:
    listed = invoke("export", "--help").out
    assert "pergroup: matrices of one role together, in lrzip (pr1934)" in " ".join(listed.split())
