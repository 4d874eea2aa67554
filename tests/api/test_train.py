"""artpack.tokenize and artpack.train: from text to a checkpoint, by calls alone."""

import os
import signal
from pathlib import Path

import pytest

import artpack
from artpack.errors import UsageError
from tests.api.conftest import Told

OVERRIDES = ("batches.tokens=64", "batches.window_tokens=32", "batches.micro_tokens=32")


@pytest.fixture
def dataset(tmp_path: Path) -> artpack.TokenizeResult:
    words = ["ark", "bread", "cedar", "dove", "earth"]
    documents = [" ".join(words[(i * j + j) % 5] for j in range(40)) + f" {i}." for i in range(60)]
    (tmp_path / "text.txt").write_text("\0".join(documents))
    return artpack.tokenize(
        [tmp_path / "text.txt"], tmp_path / "data", vocab_size=300, held_out=0.2
    )


def test_text_becomes_a_checkpoint_that_is_scored(
    dataset: artpack.TokenizeResult, told: Told, tmp_path: Path
) -> None:
    assert dataset.train.documents + dataset.held_out.documents == 60
    text = (tmp_path / "text.txt").read_text()
    assert dataset.train.bytes + dataset.held_out.bytes == len(text) - 59
    assert dataset.to_json()["val_tokens"] == dataset.held_out.tokens
    result = artpack.train(
        dataset.folder,
        tmp_path / "run",
        overrides=OVERRIDES,
        layers=1,
        width=16,
        steps=4,
        held_out_tokens=200,
        precision="fp32",
        progress=told,
    )
    assert told.phases == {"training": [(250, 1000), (500, 1000), (750, 1000), (1000, 1000)]}
    assert told.notes[1].startswith("step 2: loss ")
    assert told.notes[1].endswith(" left")
    scored = artpack.evaluate(
        tmp_path / "run" / "ckpt.pt",
        str(dataset.folder / "text_val_*.bin"),
        tokenizer=dataset.folder / "tokenizer.model",
        windows=artpack.WindowOptions(window_tokens=32, limit_tokens=200),
    )
    assert scored.score is not None
    bits = scored.score.bits_per_byte.value
    assert bits == result.score.bits_per_byte.value
    assert result.to_json()["scores"][result.kept.name]["bits_per_byte"] == bits
    assert f"4 steps, {bits:.4f} bits per byte" in repr(result)


def test_a_stopped_run_goes_on(dataset: artpack.TokenizeResult, tmp_path: Path) -> None:
    def run(*, resume: bool, progress: artpack.Progress | None = None) -> artpack.TrainResult:
        return artpack.train(
            dataset.folder,
            tmp_path / "run",
            overrides=OVERRIDES,
            layers=1,
            width=16,
            steps=4,
            held_out_tokens=200,
            resume=resume,
            progress=progress,
        )

    def stop(phase: str, done: int, total: int, note: str = "") -> None:
        if done == total // 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(resume=False, progress=stop)
    with pytest.raises(UsageError, match="a run is there already"):
        run(resume=False)
    assert len(run(resume=True).log) == 4
