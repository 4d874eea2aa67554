"""A small model, and tokens to calibrate and score it with."""

from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor

from tests.evaluate.conftest import train_tokenizer
from tests.small_model import write_small_model


class Told:
    """Remembers what a job tells of its progress."""

    def __init__(self) -> None:
        self.phases: dict[str, list[tuple[int, int]]] = {}
        self.notes: list[str] = []

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:
        self.phases.setdefault(phase, []).append((done, total))
        self.notes.append(note)

    def check(self, *phases: str) -> None:
        """Check that these phases were told of, each to its end."""
        assert set(phases) <= set(self.phases)
        for phase in phases:
            assert all(0 <= done <= total for done, total in self.phases[phase])
            assert any(done == total for done, total in self.phases[phase])


@pytest.fixture(scope="session")
def api_tokenizer() -> SentencePieceProcessor:
    return train_tokenizer()


@pytest.fixture
def small(tmp_path: Path, api_tokenizer: SentencePieceProcessor) -> Path:
    """Return a folder with a checkpoint, its config, a tokenizer and token shards."""
    write_small_model(tmp_path, api_tokenizer, 512)
    return tmp_path


@pytest.fixture
def told() -> Any:
    return Told()
