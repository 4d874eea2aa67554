"""The benchmarks run; what they measure is for people to read."""

import csv
import gzip
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file

from artpack.calibration.collect import calibrate
from artpack.calibration.file import write_calibration
from artpack.calibration.windows import cut_windows
from artpack.checkpoint import open_checkpoint
from artpack.demo import CALIBRATION, CHECKPOINT, HELD_OUT, TOKENIZER, write_demo
from artpack.evaluation.tokens.shards import read_tokens
from artpack.models import build
from artpack.runners.batches import TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from artpack.training.tokenize import split_documents, train_tokenizer, write_dataset
from benchmarks.peers import has_peer, plain_integers
from tests.evaluation.conftest import train_tokenizer as train_small_tokenizer
from tests.small_model import write_small_model

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_benchmark_of_evaluators_catches_all_cheats(tmp_path: Path) -> None:
    rows = measured("bench_black_box", tmp_path, "--seeds", 1)
    assert {row["outcome"] for row in rows} == {"passes", "caught 1 of 1"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")
def test_the_coding_benchmark_runs_on_a_few_symbols_and_its_claims_hold(tmp_path: Path) -> None:
    report = json.loads(run("bench_coding", "--quick", "--json", "--csv", tmp_path))
    assert all(claim["holds"] for claim in report["claims"])
    rows = {(row["source"], row["pipeline"]): row for row in report["rows"]}
    gaussian = rows["gaussian", "rows|rans|stored"]
    # The adaptive coder begins with a Gaussian, so here it needs no table at all.
    assert 0.995 < rows["gaussian", "auction"]["bytes"] / gaussian["bytes"] <= 1
    assert 0 < gaussian["gap_percent"] < 0.5
    (written,) = tmp_path.iterdir()
    assert len(written.read_text().splitlines()) == 1 + len(report["rows"])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")
def test_the_adaptive_benchmark_runs_on_a_few_symbols(tmp_path: Path) -> None:
    rows = {row["pipeline"]: row for row in measured("bench_adaptive", tmp_path, "--quick")}
    adaptive, static = (rows[f"rows|{coder}|stored"] for coder in ("adaptive", "rans"))
    assert 0.99 < int(adaptive["bytes"]) / int(static["bytes"]) < 1.01


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")
def test_the_scaling_benchmark_keeps_the_budget_of_its_smallest_model(tmp_path: Path) -> None:
    rows = measured("bench_scaling", tmp_path, "--models", 1, "--calibration-tokens", 1024)
    packed = {row["job"]: row for row in rows}["budget, calibrated"]
    assert 0.99 < int(packed["bytes"]) / (int(packed["weights"]) * 2.7 / 8) <= 1


def test_the_evaluation_benchmark_runs_on_a_few_tokens(tmp_path: Path) -> None:
    rows = measured("bench_eval", tmp_path, "--quick", "--threads", "1")
    kinds = {(row["model"], row["precision"], row["placement"]) for row in rows}
    assert len(kinds) == len(rows) == 2 * 2 * 2
    counts = {(row["placement"], row["forward_tokens"], row["scored_tokens"]) for row in rows}
    assert counts == {("sequential", "64", "64"), ("sliding", "64", "16")}
    assert all(float(row["peak_percent"]) > 0 for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")
def test_the_budget_benchmark_packs_a_small_model_to_its_budget(tmp_path: Path) -> None:
    (row,) = measured("bench_budget", tmp_path, "--quick", "--jobs", "1")
    assert 0.999 < int(row["bytes"]) / int(row["budget"]) <= 1
    assert float(row["peak_mib"]) > 100


@pytest.mark.slow
def test_the_cluster_benchmark_gets_the_same_bytes(tmp_path: Path) -> None:
    rows = measured("bench_cluster", tmp_path, "--folder", str(tmp_path / "demo"))
    assert len(rows) == 4
    assert {row["same bytes"] for row in rows} == {"True"}


@pytest.fixture
def demo_data(cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let benchmarks find the demo's model and the reduced golden cases as shared data."""
    folder = tmp_path / "data" / "lm6m"
    write_demo(folder)
    torch.save(load_file(folder / CHECKPOINT), folder / "ckpt.pt")
    for own, name in (
        (TOKENIZER, "sp1024.model"),
        (CALIBRATION, "calib.bin"),
        (HELD_OUT, "val.bin"),
    ):
        (folder / own).rename(folder / name)
    (tmp_path / "golden").symlink_to(cases / "golden")
    monkeypatch.setenv("ARTPACK_SHARED", str(tmp_path))


@pytest.mark.usefixtures("demo_data")
def test_the_ngram_benchmark_counts_as_dictionaries_do(tmp_path: Path) -> None:
    (row,) = measured("bench_ngram", tmp_path, "--quick")
    assert row["tokens"] == "10000"
    assert float(row["memory_mb_per_mtoken"]) > 0


@pytest.mark.usefixtures("demo_data")
def test_learning_while_scoring_helps_on_a_few_tokens(tmp_path: Path) -> None:
    few = ("--tokens", "4096", "--recipes", "scalars", "--device", "cpu")
    (row,) = measured("bench_ttt", tmp_path, *few)
    assert row["scored_tokens"] == "4096"
    assert float(row["ttt_bits"]) < float(row["still_bits"])


@pytest.mark.usefixtures("demo_data")
def test_the_import_benchmark_repacks_a_container(tmp_path: Path) -> None:
    (row,) = measured("bench_import", tmp_path, "--quick")
    assert row["same_bytes_again"] == "yes"
    assert 0 < int(row["artifact_bytes"]) < int(row["container_bytes"])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Make a checkpoint with its config, tokenizer, shards and calibration."""
    folder = tmp_path / "small"
    folder.mkdir()
    config = write_small_model(folder, train_small_tokenizer(), 257)
    with open_checkpoint(folder / "ckpt.pt") as checkpoint:
        weights = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
        model, ids = build(config, weights), read_tokens(str(folder / "calib.bin"))
        known = calibrate(
            GptRunner(model),
            TokenBatches(cut_windows(ids, 32), 1024),
            places(model),
            weights_sha256=checkpoint.weights_sha256,
        )
    write_calibration(folder / "known.calib", known)
    return folder


def test_the_benchmark_of_the_parts_adds_one_after_the_other(small: Path) -> None:
    given = ("--checkpoint", small / "ckpt.pt", "--calibration", small / "known.calib")
    rows = measured("bench_ablation", small, *given, "--learn", 4)
    assert all(row["tokens"] == "256" and float(row["kl_nats"]) > 0 for row in rows)
    assert len({row["method"] for row in rows}) == len(rows) == 10
    assert rows[0]["equal_bytes"] == rows[0]["bytes"]


@pytest.mark.slow
def test_the_training_benchmark_trains_and_packs_every_system(tmp_path: Path) -> None:
    paragraphs = (ROOT / "docs" / "TRAINING.md").read_text().replace("\n\n", "\0")
    split = split_documents([paragraphs], held_out_share=0.2)
    write_dataset(tmp_path / "data", split, train_tokenizer(split.train, 400))
    tiny = {"data": tmp_path / "data", "layers": 3, "width": 96, "steps": 2}
    few = {"batch-tokens": 64, "window-tokens": 32, "profile": "fast"}
    options = [f"--{name}={value}" for name, value in (tiny | few).items()]
    rows = measured("bench_qat", tmp_path, *options)
    twins = {(row["recipe"], row["trained"]) for row in rows}
    assert len(twins) == len(rows) == 5 + 3
    assert all(float(row["bpb_cost"]) < 0.1 for row in rows)


def test_a_corpus_has_a_document_a_file_and_an_entry_of_a_dictionary(tmp_path: Path) -> None:
    long = "word " * 50
    (tmp_path / "b.rst.gz").write_bytes(gzip.compress(f"{long}one".encode()))
    (tmp_path / "a.txt").write_text(f"{long}two\0short\0{long}three")
    (tmp_path / "c.dict.dz").write_bytes(
        gzip.compress(f"head\n\n  {long}four\nsee\n\n  head\nnext\n\n  {long}five\n".encode())
    )
    (tmp_path / "d.html").write_text(long)
    documents = run("corpus", tmp_path).decode().split("\0")
    assert [text.split()[-1] for text in documents] == ["two", "three", "one", "four", "five"]


def test_rows_in_integers_are_read_back_within_half_a_step() -> None:
    weight = torch.randn(64, 48, generator=torch.Generator().manual_seed(0))
    sizes = []
    for file in plain_integers({"matrix": weight, "vector": weight[0]}):
        radius = 2 ** (int(file.setting.removeprefix("int")) - 1) - 1
        step = weight.abs().amax(1, keepdim=True) / radius
        # A scale in fp16 is off by up to 2^-11 of itself, for every step away from 0.
        assert ((file.weights["matrix"] - weight).abs() <= (0.501 + radius / 2**11) * step).all()
        assert torch.equal(file.weights["vector"], weight[0].half().float())
        sizes.append(file.size)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < weight.numel() + 1024


def test_a_peer_that_is_not_there_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert not has_peer("no_such_peer", Path(sys.executable))
    assert "cannot import no_such_peer" in capsys.readouterr().out


def run(name: str, *arguments: object) -> bytes:
    """Run a benchmark in a process of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout


def measured(name: str, folder: Path, *arguments: object) -> list[dict[str, str]]:
    """Run a benchmark in this process; return the rows that it writes."""
    path, code = folder / "rows.csv", None
    with patch.object(sys, "argv", [name, *map(str, arguments), "--csv", str(path)]):
        try:
            code = import_module(f"benchmarks.{name}").main()
        except SystemExit as ended:
            code = ended.code
    assert not code
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
