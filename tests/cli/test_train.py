"""Text to tokens to a checkpoint, by the commands."""

import json
import os
import signal
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import torch

from artpack.training.meter import Meter

from .conftest import Invoke

SMALL = (
    *("--layers", 1, "--width", 16, "--steps", 4, "--precision", "fp32"),
    *("--set", "batches.tokens=64", "--set", "batches.window_tokens=32"),
    *("--set", "batches.micro_tokens=32", "--held-out-tokens", 200),
)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Write a text of many short documents."""
    words = ["ark", "bread", "cedar", "dove", "earth"]
    documents = [" ".join(words[(i * j + j) % 5] for j in range(40)) + f" {i}." for i in range(60)]
    path = tmp_path / "text.txt"
    path.write_text("\0".join(documents))
    return path


@pytest.fixture
def data(text: Path, tmp_path: Path, invoke: Invoke) -> Path:
    """Tokenize it."""
    folder = tmp_path / "data"
    assert invoke("tokenize", text, "-o", folder, "--vocab", 300, "--held-out", 0.2).code == 0
    return folder


def test_tokenize_says_what_it_wrote(text: Path, tmp_path: Path, invoke: Invoke) -> None:
    words = ("tokenize", text, "-o", tmp_path / "d", "--vocab", 300, "--held-out", 0.2)
    found = json.loads(invoke(*words, "--json").out)
    assert found["train_documents"] + found["val_documents"] == 60
    again = invoke(*words)
    assert again.code == 2
    assert "there are shards already; give an empty folder" in again.err


def test_tokenize_with_a_tokenizer_that_is_there(
    text: Path, data: Path, tmp_path: Path, invoke: Invoke
) -> None:
    own = ("--tokenizer", data / "tokenizer.model", "--held-out", 0.2)
    assert invoke("tokenize", text, "-o", tmp_path / "again", *own).code == 0
    for file in data.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_train_writes_what_the_other_commands_take(
    data: Path, tmp_path: Path, invoke: Invoke
) -> None:
    run = tmp_path / "run"
    done = invoke("train", "--data", data, "-o", run, *SMALL)
    assert done.code == 0, done.err
    assert "(kept)" in done.out
    assert ET.parse(run / "curve.svg").getroot().tag.endswith("svg")  # noqa: S314 - ours
    tokens = ("--tokens", str(data / "text_val_*.bin"), "--tokenizer", data / "tokenizer.model")
    windows = ("--window-tokens", 32, "--limit-tokens", 200, "--json")
    scored = json.loads(invoke("eval", run / "ckpt.pt", *tokens, *windows).out)
    report = json.loads((run / "train.json").read_text())
    kept = report["scores"][report["kept"]]
    assert scored["score"]["bits_per_byte"]["value"] == kept["bits_per_byte"]


def test_a_stopped_run_goes_on(
    data: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def stop(_meter: object, row: dict[str, float], _done: float) -> str:
        if row["step"] == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return ""

    with monkeypatch.context() as patched:
        patched.setattr(Meter, "read", stop)
        stopped = invoke("train", "--data", data, "-o", run, *SMALL)
    assert stopped.code == 130
    assert "holds the state, --resume goes on from it" in stopped.err
    assert torch.load(run / "state.pt", weights_only=True)["step"] == 2
    refused = invoke("train", "--data", data, "-o", run, *SMALL)
    assert refused.code == 2
    assert "a run is there already: resume it, or give another folder" in refused.err
    assert invoke("train", "--data", data, "-o", run, *SMALL, "--resume", "--json").code == 0
    assert len(json.loads((run / "train.json").read_text())["log"]) == 4


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (("--recipe", "plane"), "unknown training recipe 'plane' (did you mean 'plain'?)"),
        (("--width", 15), "width 15 is not 2 heads of an even number of channels"),
        (("--set", "batches.tokens=50"), "50 tokens are not whole passes of 32 tokens"),
        (("--budget", "300K"), "4 steps are too few, 5,120 are enough"),
    ],
)
def test_what_is_wrong_is_one_line(
    wrong: tuple[object, ...], fault: str, data: Path, tmp_path: Path, invoke: Invoke
) -> None:
    done = invoke("train", "--data", data, "-o", tmp_path / "run", *SMALL, *wrong)
    assert done.code == 2
    assert fault in done.err
    assert done.err.count("\n") == 1
