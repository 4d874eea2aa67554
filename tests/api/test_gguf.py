"""GGUF files as sources: what is packed and carried is what transformers reads."""

from pathlib import Path

import pytest
import torch

import artpack
from artpack.artifact.reader import open_artifact

pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("gguf", reason="gguf is not installed")
from artpack.checkpoint.optional import import_reader
from tests.checkpoint.gguf_cases import KINDS, drawn, llama, write


def test_a_file_becomes_a_model_of_transformers(tmp_path: Path) -> None:
    source = tmp_path / "models"
    source.mkdir()
    llama(source / "model.gguf", KINDS.Q4_1)
    result = artpack.compress(source, recipe="lossless", profile="fast")
    with open_artifact(result.content()) as artifact:
        assert artifact.model == {
            "kind": "transformers",
            "architecture": "LlamaForCausalLM",
            "model_type": "llama",
        }
        folder = tmp_path / "folder"
        folder.mkdir()
        for name, content in artifact.files.items():
            (folder / name).write_bytes(content)
        transformers = import_reader()
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.from_pretrained(folder)
        )
        missing, unexpected = model.load_state_dict(artifact.load(), strict=False)
        assert (missing, unexpected) == (["lm_head.weight"], [])
        assert model.lm_head.weight is model.model.embed_tokens.weight
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        assert tokenizer.decode(tokenizer("cab")["input_ids"]) == "cab"


def test_what_transformers_does_not_know_is_packed_alone(tmp_path: Path) -> None:
    tensors = {"a.weight": (drawn(40, 64), KINDS.F16)}
    path = write(tmp_path / "m.gguf", "unheard-of", tensors, {})
    result = artpack.compress(path, recipe="lossless", profile="fast")
    assert any("there is no config" in note for note in result.notes)
    with open_artifact(result.content()) as artifact:
        assert artifact.model is None
        assert artifact.files == {}
        assert torch.equal(artifact["a.weight"], torch.from_numpy(drawn(40, 64)).half())


def test_a_file_is_scored_as_what_is_made_of_it(tmp_path: Path) -> None:
    source, text = tmp_path / "model.gguf", tmp_path / "val.txt"
    llama(source, KINDS.Q4_1)
    text.write_text("abcabacab" * 9)
    packed = artpack.compress(source, recipe="lossless", profile="fast")
    windows = artpack.WindowOptions(window_tokens=16)

    found = artpack.evaluate(packed, text, baseline=source, windows=windows)
    alone = artpack.evaluate(source, text, windows=windows)

    assert found.comparison is not None
    assert alone.score is not None
    assert found.comparison.kl_nats.value == 0
    assert alone.score.bits_per_byte == found.comparison.baseline.bits_per_byte


def test_an_artifact_is_made_again(tmp_path: Path) -> None:
    llama(tmp_path / "model.gguf", KINDS.Q4_1)
    made = artpack.compress(tmp_path / "model.gguf", recipe="lossless", profile="fast")
    made.save(tmp_path / "a.artpack")
    assert artpack.rebuild(tmp_path / "a.artpack", tmp_path / "model.gguf").identical
