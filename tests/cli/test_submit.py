"""``artpack submit``, and ``artpack audit`` of what it makes."""

import json
from pathlib import Path

import pytest

import artpack
from artpack.evaluation.tokens.shards import write_shard
from artpack.evaluation.tokens.stream import tokenize_text
from tests.cli.conftest import Run
from tests.cli.test_eval import DOCUMENTS
from tests.evaluation.conftest import train_tokenizer
from tests.small_model import write_small_model

WINDOWS = ("--window-tokens", "32", "--limit-tokens", "100", "--device", "cpu")
COMMON = (
    *("submit", "m.artpack", "--train-script", "train_gpt.py"),
    *("--tokens", "val.bin", "--tokenizer", "sp.model", *WINDOWS),
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Write an artifact, tokens and a script."""
    tokenizer = train_tokenizer()
    write_small_model(tmp_path, tokenizer, 64)
    write_shard(tmp_path / "val.bin", tokenize_text("\0".join(DOCUMENTS), tokenizer).ids)
    packed = artpack.compress(tmp_path / "ckpt.pt", recipe="int6", portable=True, profile="fast")
    packed.save(tmp_path / "m.artpack")
    (tmp_path / "train_gpt.py").write_text("print('training')\n")
    return tmp_path


def test_a_folder_is_made_and_passes_its_audit(run: Run, place: Path) -> None:
    made = run(*COMMON, "-o", "folder", "--name", "Small", "--json")
    assert made.returncode == 0, made.stderr
    claims = json.loads(made.stdout)["submission"]
    assert claims == json.loads((place / "folder" / "submission.json").read_text())
    assert claims["tokens"]["path"] == "../val.bin"

    done = run("audit", "folder", "--installed", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("submission     Small\n")
    assert done.stdout.splitlines()[-1] == "audit          passed"

    (place / "folder" / "evaluate.py").write_text("print(1 / 0)")
    done = run("audit", "folder", "--installed", "--device", "cpu", "--json")
    assert done.returncode == 1
    found = {one["name"]: one for one in json.loads(done.stdout)["conditions"]}
    assert found["run"]["violations"] == ["evaluate.py failed: ZeroDivisionError: division by zero"]

    done = run("audit", "folder", "--ngram")
    assert done.returncode == 2
    assert "--ngram has no use with a submission" in done.stderr


def test_what_is_too_large_is_one_line(run: Run, place: Path) -> None:
    done = run(*COMMON, "-o", "folder", "--limit", "40000")
    assert done.returncode == 1
    assert done.stderr.endswith("more than the limit of 40,000\n")
    assert done.stderr.count("\n") == 1
    assert not (place / "folder").exists()


def test_an_artifact_needs_its_tokens(run: Run, place: Path) -> None:
    done = run("audit", "m.artpack", "--tokenizer", "sp.model")
    assert (done.returncode, place.is_dir()) == (2, True)
    assert "Missing option '--tokens'" in done.stderr
    done = run("audit", "m.artpack", "--installed")
    assert "--installed has no use without a submission" in done.stderr
