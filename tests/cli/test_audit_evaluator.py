"""``artpack audit --evaluator`` on small evaluators in files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import artpack
from artpack.evaluation.tokens.stream import tokenize_text
from tests.cli.conftest import Invoke
from tests.cli.test_eval import DOCUMENTS
from tests.evaluation.conftest import train_tokenizer

PROGRAM = """
import numpy as np
def legal(ids):
    return np.full(ids.size - 1, np.log(SIZE)), BYTES
def double(ids):
    return np.full(ids.size - 1, np.log(SIZE)), 2 * BYTES
def peeks(ids):
    return np.where(np.arange(ids.size - 1) % 9, np.log(SIZE), 0.1)
def short(ids):
    return np.zeros(3)
def trained(ids):
    return np.full(ids.size - 1, np.log(SIZE) + 0.5 * (ids.size == 40)) + 1e-3 * ids[:-1]
def listed(ids):
    return np.full(SIZE, np.log(SIZE))
"""
FEW = ("--share", 0.5, "--confidence", 0.6, "--seed", 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, tokenizer = tmp_path_factory.mktemp("evaluator"), train_tokenizer()
    (folder / "sp.model").write_bytes(tokenizer.serialized_model_proto())
    stream = tokenize_text("\0".join(DOCUMENTS), tokenizer)
    np.save(folder / "val.npy", stream.ids)
    np.save(folder / "fresh.npy", stream.ids[:40])
    size, counted = tokenizer.vocab_size(), int(stream.byte_counts[1:].sum())
    program = PROGRAM.replace("SIZE", str(size)).replace("BYTES", str(counted))
    (folder / "strange.py").write_text(program)
    return folder


@pytest.fixture
def call(invoke: Invoke, files: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(files)
    common = ("--tokens", "val.npy", "--tokenizer", "sp.model")
    return lambda name, *args: invoke("audit", "--evaluator", f"strange:{name}", *common, *args)


def test_a_legal_evaluator_passes(call: Any, files: Path) -> None:
    done = call("legal", *FEW, "--distribution", "strange:listed", "--json", "--html", "page.html")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    names = [condition["name"] for condition in found["conditions"]]
    assert names == ["C1", "C2", "C3", "C4", "bytes"]
    assert found["passed"]
    size = train_tokenizer().vocab_size()
    bytes_ = found["conditions"][4]["numbers"]["counted_bytes"]
    bits = found["score"]["targets"] * np.log2(size) / bytes_
    assert found["score"]["bits_per_byte"] == pytest.approx(bits)
    assert found["settings"]["seed"] == 1
    assert "strange.py" in found["sha256"]
    page = (files / "page.html").read_text()
    assert "strange:legal" in page
    assert "<script" not in page
    assert page.count("<tr>") == 1 + len(names)


@pytest.mark.parametrize(
    ("name", "more", "broken", "said"),
    [
        ("peeks", (), "C2", "more probability than a sum of 1 allows"),
        ("short", (), "C3", "targets got losses of shape (3,)"),
        ("double", ("--train-tokens", "val.npy"), "bytes overlap", "the evaluator counts"),
        ("trained", ("--reference-tokens", "fresh.npy"), "canary", "may have been trained on"),
    ],
)
def test_what_is_broken_is_said(
    call: Any, name: str, more: tuple[str, ...], broken: str, said: str
) -> None:
    done = call(name, *FEW, *more)
    assert done.code == 1
    lines = [line.split() for line in done.out.splitlines()]
    assert [line[0] for line in lines if line[1:2] == ["FAILED:"]] == broken.split()
    assert lines[-1] == ["audit", "FAILED"]
    assert said in done.out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--tokens", "val.npy"), "give --tokenizer or --vocab-size"),
        (("--vocab-size", 9), "Missing option '--tokens'"),
        (("--tokens", "val.npy", "--vocab-size", 9, "--ngram"), "--ngram has no use with an"),
        (("--tokens", "val.npy", "--vocab-size", 9), "is beyond a vocabulary of 9"),
        (("--tokens", "val.npy", "--evaluator-command", "true"), "exclude each other"),
        (("sp.model", "--tokens", "val.npy"), "ARTIFACT has no use with an evaluator"),
    ],
)
def test_what_does_not_go_together(
    invoke: Invoke, files: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[Any, ...], said: str
) -> None:
    monkeypatch.chdir(files)
    done = invoke("audit", "--evaluator", "strange:legal", *args)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_options_of_evaluators_are_for_evaluators(
    invoke: Invoke, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    done = invoke("audit", "sp.model", "--tokens", "val.npy", "--sums", 1)
    assert done.code == 2
    assert "--sums has no use without --evaluator" in done.err
    done = invoke("audit", "--tokens", "val.npy")
    assert "Missing argument 'ARTIFACT', or '--evaluator'" in done.err


def test_the_library_says_what_does_not_go_together(files: Path) -> None:
    ids = np.load(files / "val.npy")
    for given, said in (
        ({}, "nothing to audit"),
        ({"source": "a.bin", "evaluator": "a:b"}, "exclude each other"),
        ({"source": "a.bin", "vocab_size": 9}, "`vocab_size` goes with `evaluator`"),
        ({"evaluator": "a:b", "ngram": "learned"}, "`ngram` is not for an evaluator"),
    ):
        with pytest.raises(artpack.UsageError, match=said):
            artpack.audit(tokens=ids, **given)


def test_a_command_is_examined_by_the_library(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    (files / "program.py").write_text(
        "import sys, numpy as np\n"
        "ids = np.load(sys.argv[1])\n"
        "np.save(sys.argv[2], np.full(ids.size - 1, np.log(512)))\n"
    )
    report = artpack.audit(
        tokens=np.load("val.npy"),
        evaluator_command="python program.py",
        vocab_size=512,
        limit_tokens=50,
        plan=artpack.ExaminationPlan(share=0.5, confidence=0.6),
    )
    assert report.passed
    assert report.score is not None
    assert report.score.targets == 50
    assert report.score.bits_per_byte is None
    assert repr(report).startswith("<EvaluatorReport: python program.py: passed; ")
