"""The example of a language model: a small Llama that learns a few sentences."""

from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")
from examples import causal_lm

SENTENCES = "The quick brown fox jumps over the lazy dog. Return the length of the list.\n\n"


def test_a_small_llama_is_packed_scored_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "learned.txt", tmp_path / "scored.txt"
    texts[0].write_text(SENTENCES * 60)
    texts[1].write_text(SENTENCES * 4)
    task = causal_lm.small_llama(tmp_path, texts[0], steps=60)

    size, increase = causal_lm.pack(task, texts, tmp_path)

    assert 0.9 * task.budget < size <= task.budget
    assert abs(increase) < 0.05
    assert "'Return the length of the list." in capsys.readouterr().out
