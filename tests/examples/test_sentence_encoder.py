"""The example of a sentence encoder: with a tiny BERT, and with the real model."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers", reason="transformers is not installed")
from examples import sentence_encoder
from tests.tiny_transformers import START, save_folder, tiny_tokenizer

TINY_BYTES = 13_500


def test_sentences_are_cut_at_their_ends() -> None:
    first, second = "A " + 20 * "word " + "one.", "Then " + 20 * "word " + "two!"
    assert sentence_encoder.sentences_of([f"{first}\n  {second}", "Short."]) == [first, second]


def test_what_fills_a_batch_up_does_not_count() -> None:
    class Ids(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
            del attention_mask
            self.last_hidden_state = input_ids[..., None].float()
            return self

    batch = {
        "input_ids": torch.tensor([[1, 2, 3], [4, 9, 9]]),
        "attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]]),
    }
    assert sentence_encoder.embed(Ids(), batch).tolist() == [[2.0], [4.0]]


def test_tiny(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_folder(tmp_path / "bert", "bert")
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token, tokenizer.model_max_length = START, 64
    tokenizer.save_pretrained(tmp_path / "bert")
    monkeypatch.setattr(sentence_encoder, "SENTENCES", 48)

    size, cosines = sentence_encoder.pack(tmp_path / "bert", tmp_path, budget=TINY_BYTES)

    assert size <= TINY_BYTES
    assert cosines.shape == (48,)
    assert cosines.mean() > 0.95
    assert f" -> {size:,} bytes" in capsys.readouterr().out


@pytest.mark.slow
def test_real(tmp_path: Path) -> None:
    size, cosines = sentence_encoder.pack(sentence_encoder.find_model(tmp_path), tmp_path)

    assert size <= sentence_encoder.BUDGET
    assert cosines.mean() > 0.98
