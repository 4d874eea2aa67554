"""``artpack.train`` to a budget: the first steps and then ``artpack.finetune``, in one run."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import artpack
from artpack.api import learning, pack_run
from artpack.errors import BudgetError, UsageError
from artpack.system import run_folder
from tests.api.conftest import Told
from tests.training.conftest import data, data_folder, one_thread

__all__ = ["data", "data_folder", "one_thread"]  # fixtures

BUDGET = 24_000


@pytest.fixture(autouse=True, scope="module")
def fewer_tokens() -> Iterator[None]:
    """Measure losses on fewer tokens."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (learning, pack_run):
            patched.setattr(module, "HELD_OUT_TOKENS", 4096)
        yield


def trained(
    folder: Path,
    output: Path,
    *,
    budget: int = BUDGET,
    resume: bool = False,
    progress: artpack.Progress | None = None,
) -> artpack.TrainResult:
    """Train for one step, and for four batches while quantizing."""
    return artpack.train(
        folder,
        output,
        overrides=("batches.tokens=16384", "batches.window_tokens=512"),
        layers=1,
        width=32,
        steps=2,
        budget=budget,
        held_out_tokens=300,
        precision="fp32",
        resume=resume,
        progress=progress,
    )


@pytest.fixture(scope="module")
def run(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train to a budget that nothing fits into."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.raises(BudgetError, match="nothing fits into 900 bytes: the smallest file has"):
        trained(data_folder, folder, budget=900)
    assert not (folder / "ckpt.artpack").exists()
    return folder


def test_a_run_goes_on_with_another_budget_and_ends_as_finetune_does(
    data_folder: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "LEAST_S", 0.0)
    monkeypatch.setattr(run_folder, "EVERY_S", 0.0)

    def stop(phase: str, done: int, total: int, note: str = "") -> None:
        assert phase != "training"
        if phase == "learning" and done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(data_folder, run, resume=True, progress=stop)
    told = Told()
    result = trained(data_folder, run, resume=True, progress=told)
    assert told.phases["learning"][:2] == [(3, 4), (4, 4)]
    assert not (run / "ckpt.artpack.run").exists()
    packed = result.packed
    assert packed is not None
    assert packed.artifact == run / "ckpt.artpack"
    assert packed.size_bytes == packed.artifact.stat().st_size <= BUDGET
    assert any(line.startswith("learning: 16,384 tokens, 1.00 epochs") for line in packed.notes)
    assert result.to_json()["packed"]["bytes"] == packed.size_bytes
    again = artpack.finetune(
        run / "ckpt.pt", run / "further_tokens.bin", budget=BUDGET, steps=4, loss="training"
    )
    assert again.content() == packed.artifact.read_bytes()

    scored = artpack.evaluate(
        packed.artifact,
        str(data_folder / "*_val_*.bin"),
        tokenizer=data_folder / "tokenizer.model",
        windows=artpack.WindowOptions(window_tokens=512, limit_tokens=300),
    )
    assert scored.score is not None
    assert scored.score.bits_per_byte.value == packed.score.bits_per_byte.value


def test_no_file_has_no_bytes(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`budget` 0"):
        trained(data_folder, tmp_path / "run", budget=0)
    assert not (tmp_path / "run").exists()
