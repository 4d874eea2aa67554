"""Models of Hugging Face: tokens, bytes and scores, where transformers is installed."""

import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artpack.errors import UsageError
from artpack.evaluation.tokens.byte_check import Losses
from artpack.evaluation.tokens.hugging_face import check_text, tokenize_documents
from artpack.models import Documents
from artpack.runners.hugging_face import TransformersRunner
from artpack.runners.hugging_face_files import import_transformers, read_tokenizer
from tests.cli.conftest import Invoke

TEXT = "the cat sat\0na\u00efve \u2603 snow\0\0the mat"


def test_transformers_is_asked_for_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'artpack\[hf\]'"):
        import_transformers()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a random GPT-2 and a byte-level tokenizer as Hugging Face does."""
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
    tokenizers: Any = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("gpt2")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<|endoftext|>", *letters, "th", "the"])}
    raw = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [("t", "h"), ("th", "e")]))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    end = "<|endoftext|>"
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=end)
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(vocabulary),
        n_positions=16,
        n_embd=8,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    (folder / "text.txt").write_text(TEXT)
    return folder


def tokenizer_of(folder: Path) -> Any:
    names = ("config.json", "tokenizer.json", "tokenizer_config.json")
    return read_tokenizer({name: (folder / name).read_bytes() for name in names})


def test_tokens_stand_for_exactly_the_bytes_of_each_document(folder: Path) -> None:
    tokenizer = tokenizer_of(folder)
    stream = tokenize_documents(TEXT, tokenizer)
    starts = np.flatnonzero(stream.ids == stream.bos_id)
    assert len(starts) == len(TEXT.split("\0"))
    counted = np.add.reduceat(stream.byte_counts, starts).tolist()
    assert counted == [len(document.encode()) for document in TEXT.split("\0")]
    # The snowman is three tokens of one byte each, credited to the first of them.
    assert stream.byte_counts.max() == 3


def test_a_folder_is_scored_by_its_text(
    folder: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    command = ("eval", ".", "--tokens", "text.txt", "--json")
    told = json.loads(invoke(*command, "--window-tokens", 8, "--stride-tokens", 4).out)
    score = told["score"]
    assert score["bytes"] == len(TEXT.replace("\0", "").encode())
    assert score["documents"] == 4
    # Random weights know nothing: all of the vocabulary is about equally likely.
    assert score["loss_nats"]["value"] == pytest.approx(np.log(259), rel=0.05)
    assert list(told["sha256"]) == [".", "text.txt"]
    assert "16 tokens at most" in invoke(*command, "--window-tokens", 17).err


def test_the_score_is_that_of_transformers(
    folder: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers: Any = pytest.importorskip("transformers")
    monkeypatch.chdir(folder)
    told = json.loads(
        invoke(
            "eval",
            ".",
            "--tokens",
            "text.txt",
            "--json",
            "--window-tokens",
            16,
            "--placement",
            "documents",
        ).out
    )
    ids = torch.from_numpy(tokenize_documents(TEXT, tokenizer_of(folder)).ids.astype(np.int64))
    starts = [*torch.where(ids == 0)[0].tolist(), len(ids) - 1]
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder)
    total = 0.0
    for start, stop in pairwise(starts):
        with torch.no_grad():
            logits = reference(ids[None, start:stop]).logits[0]
        losses = torch.nn.functional.cross_entropy(
            logits, ids[start + 1 : stop + 1], reduction="sum"
        )
        total += float(losses)
    assert told["score"]["loss_sum_nats"] == pytest.approx(total, rel=1e-5)
    with pytest.raises(UsageError, match="does not pack"):
        TransformersRunner(reference).hidden(ids[None], Documents.from_starts(ids[None] == 0))


def test_a_tokenizer_that_tells_too_little_is_refused() -> None:
    class Tokenizer:
        bos_token_id: int | None = None
        eos_token_id: int | None = None
        is_fast = False

        def __call__(self, *_: object, **__: object) -> dict[str, list[int]]:
            return {"input_ids": [], "offset_mapping": []}

    tokenizer = Tokenizer()
    for remedy in ("neither BOS nor EOS", "give a fast one", "makes no token"):
        with pytest.raises(UsageError, match=remedy):
            tokenize_documents("x", tokenizer)
        tokenizer.is_fast = tokenizer.eos_token_id is not None
        tokenizer.eos_token_id = 0


class Words:
    """A tokenizer of words, as far as transformers' interface is asked of it here."""

    bos_token_id, eos_token_id, unk_token_id, is_fast = 1, None, 0, True

    def __init__(self, *, lowers: bool) -> None:
        self._lowers, self._words = lowers, ["[UNK]", "[CLS]", "the", "cat", " ", "The"]

    def __call__(self, text: str, **_: object) -> dict[str, Any]:
        ids, offsets = [], []
        for match in re.finditer(r" |\w+", text):
            word = match[0].lower() if self._lowers else match[0]
            ids.append(self._words.index(word) if word in self._words else 0)
            offsets.append(match.span())
        return {"input_ids": ids, "offset_mapping": offsets}

    def decode(self, ids: list[int], **_: object) -> str:
        return "".join(self._words[i] for i in ids)


@pytest.mark.parametrize(
    ("text", "lowers", "losses"),
    [
        ("The cat\0the", False, Losses()),
        ("The cat\0the", True, Losses(documents=1)),
        ("the dog\0the", False, Losses(tokens=1, documents=1)),
    ],
)
def test_text_that_is_not_given_back_is_told(text: str, losses: Losses, *, lowers: bool) -> None:
    tokenizer = Words(lowers=lowers)
    stream = tokenize_documents(text, tokenizer)
    check = check_text(stream, text, tokenizer)
    assert check.losses == losses
    assert check.sound == (losses == Losses())
    lost = 3 if "dog" in text else 0
    assert stream.byte_counts.sum() == len(text.replace("\0", "")) - lost
