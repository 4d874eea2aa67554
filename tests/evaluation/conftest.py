"""Fixtures of the evaluation tests: a small tokenizer and a model that can be checked by hand."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import sentencepiece
import torch
from torch import Tensor, nn

from artpack.evaluation.tokens.caseops import ALL_CAPS, CAP_NEXT, ESCAPE, TITLE
from artpack.models.document_mask import Documents

TEXT = "the cat sat on the mat. The dog ran; a NASA rocket flew over 1,234 houses and trees."


class Fading(nn.Module):
    """h_t = table[id_t] + h_{t-1} / 2, starting anew in every document; logits = readout h."""

    def __init__(self, vocab_size: int, dim: int = 8, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(vocab_size, dim, generator=draw))
        self.readout = nn.Parameter(torch.randn(vocab_size, dim, generator=draw))
        self.projected = 0

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """Return (B, T, dim)."""
        states = self.table[ids].clone()
        for t in range(1, ids.shape[1]):
            carried = states[:, t - 1] / 2
            if documents is not None:
                carried = carried * ~documents.starts[:, t, None]
            states[:, t] += carried
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """Return (n, V) and count n."""
        self.projected += len(hidden)
        return hidden @ self.readout.T


def train_tokenizer(
    symbols: tuple[str, ...] = (), **settings: Any
) -> sentencepiece.SentencePieceProcessor:
    """Train a byte-fallback BPE model on a few words."""
    model = io.BytesIO()
    usual: dict[str, Any] = {
        "sentence_iterator": iter([TEXT, TEXT.lower()] * 20),
        "model_writer": model,
        "model_type": "bpe",
        "vocab_size": 340,
        "byte_fallback": True,
        "pad_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "unk_id": 3,
        "user_defined_symbols": list(symbols),
        "add_dummy_prefix": not symbols,
        "hard_vocab_limit": False,
        "minloglevel": 2,
    }
    sentencepiece.SentencePieceTrainer.train(**{**usual, **settings})
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def without_space_marks(
    tokenizer: sentencepiece.SentencePieceProcessor,
) -> sentencepiece.SentencePieceProcessor:
    """Put another character of three bytes in the place of every space mark."""
    model = tokenizer.serialized_model_proto().replace("\u2581".encode(), "\u2582".encode())
    return sentencepiece.SentencePieceProcessor(model_proto=model)


@pytest.fixture(scope="session")
def tokenizer() -> sentencepiece.SentencePieceProcessor:
    """Return a small tokenizer."""
    return train_tokenizer()


@pytest.fixture(scope="session")
def caseops_tokenizer() -> sentencepiece.SentencePieceProcessor:
    """Return a small tokenizer that knows the case operators."""
    return train_tokenizer((TITLE, ALL_CAPS, CAP_NEXT, ESCAPE))


@pytest.fixture(scope="session")
def fading() -> Callable[..., Fading]:
    """Return the maker of models whose every logit can be computed by hand."""
    return Fading
