"""Folders of Hugging Face as sources: what is packed, what is carried, what is refused."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import artpack
from artpack.artifact.reader import open_artifact
from artpack.errors import ArtpackError, CheckpointError, CorruptError, UsageError
from artpack.models.find import stored_model

pytest.importorskip("transformers", reason="transformers is not installed")
from tests.tiny_transformers import save_folder, tiny_model

CARRIED = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    save_folder(folder, "llama-tied")
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may change."""
    return Path(shutil.copytree(saved, tmp_path / "llama"))


def opened(source: Any, **settings: Any) -> artpack.Artifact:
    """Pack without loss, and open the result."""
    result = artpack.compress(source, recipe="lossless", profile="fast", **settings)
    return open_artifact(result.content())


def test_a_folder_is_carried_to_the_byte(saved: Path) -> None:
    with opened(saved) as artifact:
        assert artifact.files == {name: (saved / name).read_bytes() for name in CARRIED}
        assert artifact.model == {
            "kind": "transformers",
            "architecture": "LlamaForCausalLM",
            "model_type": "llama",
        }
        assert stored_model(artifact.model) is None
        weights = load_file(saved / "model.safetensors")
        assert all(torch.equal(artifact[name], weight) for name, weight in weights.items())


def test_a_file_of_weights_is_as_good_as_its_folder(saved: Path) -> None:
    with opened(saved / "model.safetensors") as artifact:
        assert set(artifact.files) == CARRIED


def test_the_tokenizer_can_be_left_out(saved: Path) -> None:
    with opened(saved, tokenizer_files=False) as artifact:
        assert set(artifact.files) == {"config.json", "generation_config.json"}


def test_files_that_are_given_are_added_and_win(saved: Path) -> None:
    with opened(saved, files={"config.json": b"{}", "note.txt": b"x"}) as artifact:
        assert artifact.files["config.json"] == b"{}"
        assert artifact.files["note.txt"] == b"x"
        assert set(artifact.files) == {*CARRIED, "note.txt"}


@pytest.mark.parametrize("redundant", ["vocab.json", "merges.txt", "tokenizer.model"])
def test_what_the_tokenizer_is_made_of_is_left_out(folder: Path, redundant: str) -> None:
    (folder / redundant).write_text("{}")
    with opened(folder) as artifact:
        assert set(artifact.files) == CARRIED


def test_what_the_tokenizer_is_made_of_is_carried_where_nothing_else_is(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text('{"a": 0}')
    (folder / "merges.txt").write_text("#version: 0.2\n")
    with opened(folder) as artifact:
        assert set(artifact.files) == CARRIED - {"tokenizer.json"} | {"vocab.json", "merges.txt"}


def test_files_of_sentence_encoders_keep_their_folders(folder: Path) -> None:
    (folder / "modules.json").write_text("[]")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    with opened(folder) as artifact:
        assert set(artifact.files) == {*CARRIED, "modules.json", "1_Pooling/config.json"}


def test_a_module_brings_its_configuration() -> None:
    with opened(tiny_model("gpt2")) as artifact:
        assert set(artifact.files) == {"config.json", "generation_config.json"}
        config = json.loads(artifact.files["config.json"])
        assert (config["model_type"], config["n_embd"]) == ("gpt2", 16)
        assert config["architectures"] == ["GPT2LMHeadModel"]
        assert artifact.model is not None
        assert artifact.model["architecture"] == "GPT2LMHeadModel"


def test_shards_are_read_through_their_index(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = list(weights)
    shards = {f"model-0000{i + 1}-of-00002.safetensors": names[i::2] for i in range(2)}
    for shard, held in shards.items():
        save_file({name: weights[name] for name in held}, folder / shard)
    places = {name: shard for shard, held in shards.items() for name in held}
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with opened(folder) as artifact:
        assert set(artifact) == set(names)
        assert set(artifact.files) == CARRIED


def cached(folder: Path, target: Path, revision: str = "0123abcd") -> Path:
    """Lay a folder out as the hub's cache does: links to blobs that have no ending."""
    cache, snapshot = target / "models--org--tiny", target / "models--org--tiny/snapshots"
    (snapshot / revision).mkdir(parents=True)
    (cache / "blobs").mkdir(exist_ok=True)
    for i, path in enumerate(sorted(folder.iterdir())):
        blob = cache / "blobs" / f"{revision}{i:040x}"
        blob.write_bytes(path.read_bytes())
        (snapshot / revision / path.name).symlink_to(os.path.relpath(blob, snapshot / revision))
    return cache


@pytest.mark.parametrize(
    "place", ["", "snapshots/0123abcd", "snapshots/0123abcd/model.safetensors"]
)
def test_the_hub_cache_is_read_wherever_it_is_entered(
    saved: Path, tmp_path: Path, place: str
) -> None:
    with opened(cached(saved, tmp_path) / place) as artifact:
        assert set(artifact.files) == CARRIED
        assert len(artifact) == len(load_file(saved / "model.safetensors"))


def test_of_several_snapshots_main_is_read(saved: Path, tmp_path: Path) -> None:
    cache = cached(saved, tmp_path)
    cached(saved, tmp_path, "ffff")
    with pytest.raises(CheckpointError, match="2 snapshots: give the folder of one"):
        opened(cache)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("ffff\n")
    (cache / "snapshots" / "0123abcd" / "model.safetensors").unlink()
    with opened(cache) as artifact:
        assert set(artifact.files) == CARRIED


@pytest.mark.parametrize("ref", ["../../elsewhere", "", "gone", "\0"])
def test_a_ref_that_names_no_snapshot_is_not_followed(
    saved: Path, tmp_path: Path, ref: str
) -> None:
    cache = cached(saved, tmp_path)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(ref)
    with opened(cache) as artifact:
        assert set(artifact.files) == CARRIED


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    weights = {"base_model.model.q.lora_A.weight": torch.ones(2, 8)}
    if name.endswith(".bin"):
        torch.save(weights, tmp_path / name)
    else:
        save_file(weights, tmp_path / name)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(CheckpointError, match=r"PEFT adapter.*merge_and_unload\(\)"):
            artpack.compress(path)


def test_a_config_of_nothing_known_carries_nothing(folder: Path) -> None:
    (folder / "config.json").write_text('{"hidden_size": 16}')
    with opened(folder) as artifact:
        assert (artifact.files, artifact.model) == ({}, None)


@pytest.mark.parametrize("kind", ["onnx", "module", "of the year 2040"])
def test_a_kind_that_nothing_here_runs_is_not_corrupt(kind: str) -> None:
    assert stored_model({"kind": kind, "anything": 1}) is None


@pytest.mark.parametrize("kind", [1, None, ["transformers"], {}])
def test_a_kind_that_is_no_text_is_corrupt(kind: Any) -> None:
    with pytest.raises(CorruptError, match="its kind is no text"):
        stored_model({"kind": kind})


def test_a_file_that_is_too_large_is_refused(folder: Path) -> None:
    with (folder / "tokenizer.json").open("r+b") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(CheckpointError, match="larger than 67108864 bytes"):
        opened(folder)
    with opened(folder, tokenizer_files=False) as artifact:
        assert "tokenizer.json" not in artifact.files


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["NoSuchForCausalLM"]}, "does not know the model 'NoSuchForCausalLM'"),
        ({"architectures": ["pipeline"]}, "does not know the model 'pipeline'"),
        ({"model_type": "no-such"}, "model type 'no-such'"),
        ({"num_hidden_layers": 3}, "folder: LlamaForCausalLM: 9 weights are missing"),
        ({"vocab_size": 48}, "2 weights are of another shape, 'lm_head.weight' first"),
        ({"hidden_size": "wide"}, "Validation error for field 'hidden_size'"),
    ],
)
def test_a_config_of_another_model_is_one_line(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    save_folder(tmp_path / "folder", "llama-untied")
    config = tmp_path / "folder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    text = tmp_path / "val.txt"
    text.write_text("the cat sat on the mat. " * 8)
    with pytest.raises(ArtpackError, match=message) as caught:
        artpack.evaluate(tmp_path / "folder", text)
    assert "\n" not in str(caught.value)
    assert "`" not in str(caught.value)


def test_tensors_that_a_config_knows_nothing_of_are_said(tmp_path: Path) -> None:
    save_folder(tmp_path / "folder", "llama-untied")
    config = tmp_path / "folder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_hidden_layers": 1}))
    text = tmp_path / "val.txt"
    text.write_text("the cat sat on the mat. " * 8)
    notes = artpack.evaluate(tmp_path / "folder", text).notes
    assert any("9 tensors are no part of the LlamaForCausalLM" in note for note in notes)


def test_windows_are_as_long_as_the_model_takes(tmp_path: Path) -> None:
    save_folder(tmp_path / "folder", "gpt2")
    text = tmp_path / "val.txt"
    text.write_text("the cat sat on the mat. " * 30)
    found = artpack.evaluate(tmp_path / "folder", text)
    assert found.windows.window_tokens == 64
    asked = artpack.evaluate(
        tmp_path / "folder", text, windows=artpack.WindowOptions(window_tokens=64)
    )
    assert found.score is not None
    assert asked.score is not None
    assert found.score.bits_per_byte == asked.score.bits_per_byte
    with pytest.raises(UsageError, match="takes 64 tokens at most"):
        artpack.evaluate(tmp_path / "folder", text, windows=artpack.WindowOptions(window_tokens=65))


@pytest.mark.parametrize("family", ["gpt2", "llama-tied"])
def test_text_without_a_tokenizer_is_one_line(family: str, tmp_path: Path) -> None:
    save_folder(tmp_path / "folder", family)
    text = tmp_path / "val.txt"
    text.write_text("the cat sat on the mat. " * 8)
    packed = artpack.compress(
        tmp_path / "folder", recipe="int8", profile="fast", tokenizer_files=False
    )
    with pytest.raises(UsageError, match="no tokenizer lies with the model"):
        artpack.evaluate(packed, text)
    with pytest.raises(UsageError, match="no tokenizer lies with the model"):
        artpack.compress(tmp_path / "folder", calibration_tokens=text, tokenizer_files=False)


def test_an_artifact_is_made_again(saved: Path, tmp_path: Path) -> None:
    ids = torch.randint(0, 40, (512,), generator=torch.Generator().manual_seed(0)).numpy()
    made = artpack.compress(saved, calibration_tokens=ids, tokenizer_files=False, profile="fast")
    made.save(tmp_path / "a.artpack")
    with artpack.open(tmp_path / "a.artpack") as artifact:
        calibration = artifact.header.provenance["calibration"]
        assert isinstance(calibration, dict)
        assert isinstance(calibration["libraries"], dict)
        assert calibration["libraries"].keys() == {"torch", "transformers"}
    assert artpack.rebuild(tmp_path / "a.artpack", saved, calibration_tokens=ids).identical
    assert artpack.rebuild(tmp_path / "a.artpack", saved, keep_symbols=True).identical
