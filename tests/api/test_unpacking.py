"""Folders that ``from_pretrained`` reads, written whole or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import artpack
from artpack.errors import ArtpackError, CorruptError, UsageError

transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
from tests.tiny_transformers import FAMILIES, save_folder, tiny_model  # noqa: E402


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_from_pretrained_reads_the_decoded_weights(
    tmp_path: Path, family: str, dtype: torch.dtype
) -> None:
    model = save_folder(tmp_path / "in", family, dtype)
    artpack.compress(tmp_path / "in", recipe="int8", profile="fast").save(tmp_path / "a")
    artpack.unpack(tmp_path / "a", tmp_path / "out")
    decoded = artpack.load(tmp_path / "a")
    file = load_file(tmp_path / "out" / "model.safetensors")
    assert file.keys() == decoded.keys()
    assert all(torch.equal(file[name], weight) for name, weight in decoded.items())
    back, told = type(model).from_pretrained(
        tmp_path / "out", dtype="auto", output_loading_info=True
    )
    assert not any(told.values())
    assert back.dtype == dtype
    # The same class is given the same tensors in memory, and makes the same model of them.
    again = type(model).from_pretrained(
        None, config=model.config, state_dict=dict(decoded), dtype=dtype
    )
    assert all(map(torch.equal, back.state_dict().values(), again.state_dict().values()))
    if family != "mixtral":  # whose experts transformers puts into stacks
        own = back.state_dict()
        assert all(torch.equal(own[name], weight) for name, weight in decoded.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_module_comes_back_through_a_folder(tmp_path: Path, family: str) -> None:
    model = tiny_model(family)
    artpack.compress(model, recipe="lossless", profile="fast").save(tmp_path / "a")
    artpack.unpack(tmp_path / "a", tmp_path / "out")
    back, told = type(model).from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(told.values())
    own = back.state_dict()
    assert own.keys() == model.state_dict().keys()
    assert all(torch.equal(own[name], weight) for name, weight in model.state_dict().items())


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    save_folder(folder / "in", "llama-tied")
    artpack.compress(folder / "in", recipe="int8", profile="fast").save(folder / "a.artpack")
    return folder / "a.artpack"


def test_the_files_are_those_of_the_source(artifact: Path, tmp_path: Path) -> None:
    count, size = artpack.unpack(artifact, tmp_path / "out")
    source, target = artifact.parent / "in", tmp_path / "out"
    names = sorted(path.name for path in target.iterdir())
    assert names == sorted(path.name for path in source.iterdir())
    for name in set(names) - {"model.safetensors"}:
        assert (target / name).read_bytes() == (source / name).read_bytes()
    assert count == len(artpack.load(artifact))
    assert size == sum(path.stat().st_size for path in target.iterdir())
    with safe_open(target / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    text = "the The"
    tokenizers = [transformers.AutoTokenizer.from_pretrained(one) for one in (source, target)]
    assert tokenizers[0](text)["input_ids"] == tokenizers[1](text)["input_ids"]
    assert tokenizers[1].chat_template == "{{ messages }}"


def test_shards_have_an_index(artifact: Path, tmp_path: Path) -> None:
    artpack.unpack(artifact, tmp_path / "one")
    artpack.unpack(artifact, tmp_path / "out", shard_bytes=9000)
    shards = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    count = len(shards)
    assert shards == [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    assert count > 2
    weights = [load_file(tmp_path / "out" / shard) for shard in shards]
    for held in weights:
        assert len(held) == 1 or sum(tensor.nbytes for tensor in held.values()) <= 9000
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {
        name: shard for shard, held in zip(shards, weights, strict=True) for name in held
    }
    whole = load_file(tmp_path / "one" / "model.safetensors")
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())
    models = [
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict()
        for name in ("one", "out")
    ]
    assert all(map(torch.equal, models[0].values(), models[1].values()))


@pytest.mark.parametrize("key", ["dtype", "torch_dtype", None])
def test_the_config_names_the_dtype_that_is_written(tmp_path: Path, key: str | None) -> None:
    config = {"model_type": "llama", "architectures": ["X"], "vision_config": {"torch_dtype": "y"}}
    if key:
        config[key] = "float32"
    content = json.dumps(config).encode()
    weights = {"w": torch.ones(4, 4, dtype=torch.float16), "bias": torch.ones(3)}
    artpack.save(weights, tmp_path / "a", files={"config.json": content}, profile="fast")
    artpack.unpack(tmp_path / "a", tmp_path / "own")
    artpack.unpack(tmp_path / "a", tmp_path / "bf16", dtype=torch.bfloat16)
    for folder, name in (("own", "float16"), ("bf16", "bfloat16")):
        told = json.loads((tmp_path / folder / "config.json").read_text())
        assert told[key or "torch_dtype"] == name
        assert told["vision_config"] == {"torch_dtype": name}
    written = load_file(tmp_path / "bf16" / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b"\xff"])
def test_a_config_that_is_none_is_given_back_as_it_is(tmp_path: Path, content: bytes) -> None:
    artpack.save(
        {"w": torch.ones(2)}, tmp_path / "a", files={"config.json": content}, profile="fast"
    )
    artpack.unpack(tmp_path / "a", tmp_path / "out")
    assert (tmp_path / "out" / "config.json").read_bytes() == content


@pytest.mark.parametrize("tied", [True, False, None])
def test_heads_are_left_to_transformers_only_where_it_ties_them(
    tmp_path: Path, *, tied: bool | None
) -> None:
    weight = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    weights = {"model.embed_tokens.weight": weight, "lm_head.weight": weight, "x": weight}
    config = {} if tied is None else {"tie_word_embeddings": tied}
    files = {"config.json": json.dumps(config).encode()}
    artpack.save(weights, tmp_path / "a", files=files, recipe="lossless", profile="fast")
    artpack.unpack(tmp_path / "a", tmp_path / "out")
    names = set(load_file(tmp_path / "out" / "model.safetensors"))
    assert names == set(weights) - ({"lm_head.weight"} if tied else set())


def test_a_folder_that_holds_something_is_left_alone(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("mine")
    with pytest.raises(OSError, match="not empty"):
        artpack.unpack(artifact, tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_and_one_inside_new_ones_are_filled(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new/Qwen2.5-0.5B"):
        artpack.unpack(artifact, tmp_path / name)
        assert (tmp_path / name / "model.safetensors").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "new"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["Qwen2.5-0.5B"]


@pytest.mark.parametrize(
    "name", ["model.safetensors", "MODEL.safetensors", "model.safetensors/config.json"]
)
def test_files_in_the_place_of_the_weights_are_refused(tmp_path: Path, name: str) -> None:
    artpack.save({"w": torch.ones(2)}, tmp_path / "a", files={name: b"evil"}, profile="fast")
    with pytest.raises(CorruptError, match="in the place of the weights"):
        artpack.unpack(tmp_path / "a", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_nothing_is_left_of_a_folder_that_failed(artifact: Path, tmp_path: Path) -> None:
    content = bytearray(artifact.read_bytes())
    content[-40] ^= 1
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ArtpackError):
        artpack.unpack(tmp_path / "a", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["w.bin", "w.gguf", "w.h5"])
def test_endings_of_other_files_are_refused(artifact: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"must be \.safetensors, \.pt or \.onnx, or none"):
        artpack.unpack(artifact, tmp_path / name)
