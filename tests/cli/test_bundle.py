"""``artpack bundle`` and ``artpack compress --bundle``: decoders beside their artifacts."""

import json
from pathlib import Path

import pytest
import torch

import artpack
from artpack.portable.alone import decode_alone
from artpack.portable.c_source import c_source
from tests.artifact.golden_cases import FOLDER
from tests.cli.conftest import Run

RANS = str(FOLDER / "rans.artpack")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    draw = torch.Generator().manual_seed(0)
    tensors = {f"w{i}": torch.randn(96, 128, generator=draw) for i in range(3)}
    torch.save(tensors, tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def test_bundle_writes_a_decoder_and_tests_it(run: Run, tmp_path: Path) -> None:
    done = run("bundle", RANS, "-o", "decoder.py", "--self-test")
    size = (tmp_path / "decoder.py").stat().st_size
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"decoder.py: {size:,} bytes; with the artifact ")
    assert "9 tensors, every bit the same" in done.stdout


def test_bundle_as_json(run: Run, tmp_path: Path) -> None:
    done = run("bundle", RANS, "-o", "d.py", "--readable", "--class", "Decoder", "--json")
    found = json.loads(done.stdout)
    assert found["bytes"] == (tmp_path / "d.py").stat().st_size
    assert found["tested_tensors"] is None
    assert "class Decoder:" in (tmp_path / "d.py").read_text(encoding="utf-8")


def test_bundle_writes_c(run: Run, tmp_path: Path) -> None:
    done = run("bundle", RANS, "-o", "decoder.c", "--c")
    source = (tmp_path / "decoder.c").read_text(encoding="ascii")
    assert done.stdout.startswith(f"decoder.c: {len(source):,} bytes; with the artifact ")
    assert source == c_source()
    other = run("bundle", RANS, "-o", "d.c", "--c", "--self-test")
    assert other.stderr == "artpack: --c: neither --class nor --self-test goes with it\n"
    library = run("bundle", str(FOLDER / "codecs.artpack"), "-o", "d.c", "--c")
    assert library.stderr.endswith("pack again with --portable\n")
    assert not (tmp_path / "d.c").exists()


def test_what_needs_a_library_is_refused_with_the_remedy(run: Run, tmp_path: Path) -> None:
    done = run("bundle", str(FOLDER / "codecs.artpack"), "-o", "decoder.py")
    assert done.returncode == 2
    assert done.stderr.endswith("pack again with --portable\n")
    assert not (tmp_path / "decoder.py").exists()


def test_what_is_wrong_is_said_in_a_line(run: Run, weights: Path) -> None:
    twice = run("compress", weights.name, "-o", "a.bin", "--bundle", "a.bin")
    assert (twice.returncode, twice.stderr) == (
        2,
        "artpack: a.bin: would be written twice: give another name\n",
    )
    name = run("bundle", RANS, "-o", "d.py", "--class", "a b")
    assert name.stderr == "artpack: --class: 'a b' is no name of a class\n"
    other = run("bundle", weights.name, "-o", "d.py")
    assert other.stderr.startswith("artpack: weights.pt: not an artpack artifact")


def test_a_budget_holds_for_artifact_and_decoder_together(
    run: Run, weights: Path, tmp_path: Path
) -> None:
    done = run(
        *("compress", weights.name, "-o", "a.bin", "--bundle", "decoder.py"),
        *("--budget", "30000", "--json"),
    )
    assert done.returncode == 0, done.stderr
    artifact, decoder = (tmp_path / "a.bin").read_bytes(), (tmp_path / "decoder.py").read_text()
    found = json.loads(done.stdout)
    assert found["decoder_bytes"] == len(decoder)
    assert 29_000 < len(artifact) + len(decoder) <= 30_000
    assert found["portable"]
    assert list(decode_alone(decoder, artifact).tensors) == ["w0", "w1", "w2"]


def test_portable_says_what_it_costs(run: Run, tmp_path: Path) -> None:
    text = torch.tensor(list(b"to be or not to be, that is the question. " * 40), dtype=torch.uint8)
    torch.save({"text": text}, tmp_path / "t.pt")
    small, portable = (
        json.loads(run("compress", "t.pt", "-o", f"{i}.bin", "--json", *options).stdout)
        for i, options in enumerate([(), ("--portable",)])
    )
    assert not small["portable"]
    assert portable["portable"]
    assert portable["portable_price"] == small["portable_price"] > 0
    assert not any("portable" in note for note in small["notes"])
    assert any(note.startswith("portable: read without a library") for note in portable["notes"])
    assert artpack.load(tmp_path / "1.bin")["text"].equal(text)
