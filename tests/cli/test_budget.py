"""``artpack compress --budget`` and its kin, and ``artpack sweep``."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentencepiece import SentencePieceProcessor

import artpack
from tests.cli.conftest import Invoke
from tests.evaluation.conftest import train_tokenizer
from tests.small_model import write_small_model

FAST = ("--profile", "fast")
SCORED = ("--score-tokens", "val.bin", "--score-tokenizer", "sp.model")

Told = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def tokenizer() -> SentencePieceProcessor:
    return train_tokenizer()


@pytest.fixture
def folder(
    tmp_path: Path, tokenizer: SentencePieceProcessor, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Make a checkpoint, its config, a tokenizer and shards; work there."""
    write_small_model(tmp_path, tokenizer, 512)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def told(invoke: Invoke, folder: Path) -> Told:
    """Return a function that runs ``artpack ARGS --json`` and reads what it prints."""

    def call(*args: object) -> dict[str, Any]:
        done = invoke(*args, "--json")
        assert done.code == 0, done.err
        value: dict[str, Any] = json.loads(done.out)
        return value

    return call


def test_a_budget_is_hit_and_never_exceeded(told: Told, folder: Path) -> None:
    known = ("--calibration-tokens", "calib.bin", "--calibration", "c.calibration")
    found = told("compress", "ckpt.pt", "-o", "a.bin", "--budget", "40K", *known, *FAST)
    size = (folder / "a.bin").stat().st_size
    assert found["recipe"] == "frontier"
    assert 39_800 <= size == found["bytes_out"] <= 40_000
    assert found["fit"]["calibration_kl_nats"] > 0
    assert set(artpack.load(folder / "a.bin")) == set(torch.load(folder / "ckpt.pt"))
    assert all(report["weighted_error"] > 0 for report in found["reports"].values())
    assert len(found["reports"]) == 13
    kept = folder / "c.calibration"
    before = kept.stat().st_mtime_ns
    again = told("compress", "ckpt.pt", "-o", "b.bin", "--budget", "40K", *known, *FAST)
    assert kept.stat().st_mtime_ns == before
    assert again["bytes_out"] == found["bytes_out"]
    assert (folder / "b.bin").read_bytes() == (folder / "a.bin").read_bytes()


def test_code_counts_into_the_budget(told: Told) -> None:
    found = told("compress", "ckpt.pt", "--budget", "40K", "--code-bytes", "10K", *FAST)
    assert 29_800 <= found["bytes_out"] <= 30_000


def test_without_data_a_note_says_what_is_missing(told: Told) -> None:
    found = told("compress", "ckpt.pt", "--budget", "40K", *FAST)
    assert any("nothing is known of the data" in note for note in found["notes"])
    assert found["fit"]["calibration_kl_nats"] is None


def test_the_text_says_what_another_kilobyte_is_worth(invoke: Invoke, folder: Path) -> None:
    known = ("--calibration-tokens", "calib.bin")
    done = invoke("compress", "ckpt.pt", "--budget", "40K", *known, *FAST, *SCORED)
    assert done.code == 0, done.err
    assert "budget: 40,000 bytes, " in done.out
    assert "another KB would save" in done.out
    assert "bits per byte on 511 tokens" in done.out


def test_a_score_is_not_exceeded(told: Told) -> None:
    asked = ("--max-loss-increase", 0.05, "--calibration-tokens", "calib.bin")
    found = told("compress", "ckpt.pt", *asked, *SCORED, *FAST)
    assert found["fit"]["score"]["bpb_increase"]["value"] <= 0.05
    assert len(found["fit"]["trials"]) > 1


def test_what_was_learned_is_within_the_budget(told: Told, folder: Path) -> None:
    asked = ("--budget", "40K", "--calibration-tokens", "calib.bin", "--tune", 4)
    found = told("compress", "ckpt.pt", "-o", "a.bin", *asked, *FAST)
    assert 39_800 <= (folder / "a.bin").stat().st_size <= 40_000
    assert found["fit"]["calibration_kl_nats"] > 0


def test_a_checkpoint_is_fine_tuned_into_a_budget(told: Told, folder: Path) -> None:
    asked = ("--tokens", "calib.bin", "--budget", "40K", "--steps", 2, "--tokenizer", "sp.model")
    found = told("finetune", "ckpt.pt", *asked, *SCORED, *FAST)
    assert 39_800 <= (folder / "ckpt.artpack").stat().st_size <= 40_000
    assert found["bytes_out"] == (folder / "ckpt.artpack").stat().st_size
    assert any(note.startswith("learning: ") for note in found["notes"])
    assert found["fit"]["score"]["kl_nats"]["value"] > 0


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        (("--budget", "300"), "nothing fits into 300 bytes: the smallest file has"),
        (("--budget", "20K", "--recipe", "int8"), "'frontier' adjusts its steps to the budget"),
        (("--budget", "20K", "--max-loss-increase", 0.1), "give one of them"),
        (("--max-loss-increase", 0.1), "is measured: give --score-tokens, or --calibration-tokens"),
        (("--code-bytes", "1K"), "counts into a budget: give --budget"),
        (
            ("--budget", "20K", "--tune", 1),
            "on data: give --calibration-tokens or --calibration-batches",
        ),
        (
            ("--recipe", "int8", "--tune", 1),
            "'int8' has nothing to learn: leave --tune out",
        ),
        (("--budget", "1K", "--code-bytes", "1K"), "the code alone has 1000 bytes"),
        (("--budget", "16X"), "'16X' is no size"),
        (("--score-tokens", "val.bin"), "counted with the tokenizer: give --score-tokenizer"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    invoke: Invoke, folder: Path, args: tuple[object, ...], fault: str
) -> None:
    done = invoke("compress", "ckpt.pt", "-o", "a.bin", *args, *FAST)
    assert done.code in (1, 2)
    assert fault in done.err
    assert not (folder / "a.bin").exists()


def test_a_sweep_writes_a_line_for_each_file_and_a_picture(told: Told, folder: Path) -> None:
    files = ("-o", "curve.csv", "--plot", "curve.svg")
    found = told(
        "sweep",
        "ckpt.pt",
        "--budgets",
        "30K,40K",
        *files,
        "--calibration-tokens",
        "calib.bin",
        *FAST,
    )
    with (folder / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["recipe"] for row in rows[:2]] == ["frontier", "frontier"]
    assert {"int8", "int6", "quinary"} <= {row["recipe"] for row in rows}
    assert float(rows[0]["kl_nats"]) > float(rows[1]["kl_nats"]) > 0
    assert all(int(row["bytes"]) <= int(row["budget"]) for row in rows[:2])
    assert len(found["files"]) == len(rows)
    assert "<svg" in (folder / "curve.svg").read_text()


def test_a_sweep_needs_something_to_measure_on(invoke: Invoke, folder: Path) -> None:
    done = invoke("sweep", "ckpt.pt", "--budgets", "30K", "-o", "curve.csv", *FAST)
    assert done.code == 2
    assert "nothing to measure a loss on" in done.err
