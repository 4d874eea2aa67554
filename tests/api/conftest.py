"""A small model, and tokens to calibrate and score it with."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from sentencepiece import SentencePieceProcessor
from torch import nn

import artpack
from artpack.evaluation.tokens.shards import write_shard
from artpack.evaluation.tokens.stream import tokenize_text
from artpack.models import GPT
from artpack.models.mechanisms import Rope, Softcap
from tests.evaluation.conftest import TEXT, train_tokenizer
from tests.small_model import write_small_model

DOCUMENTS = [TEXT, TEXT.lower(), TEXT[::-1], "1,234 houses"] * 4


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


class Scored(NamedTuple):
    """A model, its tokenizer and tokens, all in memory."""

    model: GPT
    tokenizer: SentencePieceProcessor
    stream: artpack.Stream


@pytest.fixture(scope="session")
def scored(api_tokenizer: SentencePieceProcessor) -> Scored:
    rope, softcap = Rope(10000.0, 4), Softcap("tanh", 30.0)
    config = artpack.ModelConfig(api_tokenizer.vocab_size(), 16, 2, 4, 2, 32, rope, softcap)
    torch.manual_seed(0)
    model = GPT(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    stream = tokenize_text("\0".join(DOCUMENTS), api_tokenizer)
    return Scored(model.eval(), api_tokenizer, stream)


@pytest.fixture
def scored_files(scored: Scored, tmp_path: Path) -> Path:
    """Write the same as files."""
    torch.save(scored.model.state_dict(), tmp_path / "ckpt.pt")
    (tmp_path / "config.json").write_text(json.dumps(scored.model.config.to_json()))
    (tmp_path / "sp.model").write_bytes(scored.tokenizer.serialized_model_proto())
    (tmp_path / "val.txt").write_text("\0".join(DOCUMENTS))
    write_shard(tmp_path / "val.bin", scored.stream.ids)
    return tmp_path
