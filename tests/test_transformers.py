"""Artifacts in transformers: loaded at once, and through its quantizer plug-in."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import artpack
from artpack.errors import CheckpointError, CorruptError, UsageError

transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
import artpack.transformers as plugin  # noqa: E402
from tests.tiny_transformers import FAMILIES, save_folder  # noqa: E402

HAS_PLUGIN = int(transformers.__version__.split(".")[0]) >= 5
needs_plugin = pytest.mark.skipif(not HAS_PLUGIN, reason="the plug-in needs transformers 5")


def pack(folder: Path, family: str, dtype: torch.dtype = torch.float32, **settings: Any) -> Path:
    """Pack a tiny model of a family, and return the artifact."""
    save_folder(folder / "in", family, dtype)
    path = folder / "a.artpack"
    artpack.compress(folder / "in", recipe="int8", profile="fast", **settings).save(path)
    return path


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("llama"), "llama-tied", torch.bfloat16)


def same(one: Any, other: Any) -> bool:
    """Return whether two models have the same tensors, bit by bit."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        first[name].dtype == weight.dtype and torch.equal(first[name], weight)
        for name, weight in second.items()
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_every_way_of_loading_gives_the_same_model(tmp_path: Path, family: str) -> None:
    path = pack(tmp_path, family, torch.bfloat16)
    model, tokenizer = plugin.load(path)
    artpack.unpack(path, tmp_path / "out")
    unpacked = type(model).from_pretrained(tmp_path / "out", dtype="auto")
    assert model.dtype == torch.bfloat16
    assert not model.training
    assert same(model, unpacked)
    assert tokenizer("the")["input_ids"] == [55]
    if HAS_PLUGIN:
        plugin.save_folder(path, tmp_path / "plug")
        through = type(model).from_pretrained(tmp_path / "plug")
        assert same(model, through)
    decoded = artpack.load(path)
    if family != "mixtral":  # whose experts transformers puts into stacks
        own = model.state_dict()
        assert all(torch.equal(own[name], weight) for name, weight in decoded.items())


def test_a_dtype_can_be_asked_for(artifact: Path) -> None:
    model, _ = plugin.load(artifact, dtype=torch.float32, device="cpu")
    assert model.dtype == torch.float32
    decoded = artpack.load(artifact, dtype=torch.float32)
    own = model.state_dict()
    assert all(torch.equal(own[name], weight) for name, weight in decoded.items())


def test_an_artifact_without_a_tokenizer_has_none(tmp_path: Path) -> None:
    _, tokenizer = plugin.load(pack(tmp_path, "gpt2", tokenizer_files=False))
    assert tokenizer is None


@needs_plugin
def test_the_plug_in_leaves_a_plain_model(artifact: Path, tmp_path: Path) -> None:
    plugin.save_folder(artifact, tmp_path / "plug")
    auto = transformers.AutoModelForCausalLM
    model, told = auto.from_pretrained(tmp_path / "plug", output_loading_info=True)
    assert not any(told.values())
    assert not hasattr(model.config, "quantization_config")
    model.save_pretrained(tmp_path / "saved")
    assert same(model, auto.from_pretrained(tmp_path / "saved"))
    wide = auto.from_pretrained(tmp_path / "plug", dtype=torch.float32)
    assert wide.dtype == torch.float32
    ids = torch.tensor([[5, 7, 9]])
    assert torch.equal(model.float()(ids).logits, wide(ids).logits)


@needs_plugin
def test_the_folder_holds_the_artifact_as_it_is(artifact: Path, tmp_path: Path) -> None:
    plugin.save_folder(artifact, tmp_path / "plug")
    assert (tmp_path / "plug" / "model.artpack").read_bytes() == artifact.read_bytes()
    config = json.loads((tmp_path / "plug" / "config.json").read_text())
    assert config["quantization_config"] == {"quant_method": "artpack", "file": "model.artpack"}
    with pytest.raises(OSError, match="not empty"):
        plugin.save_folder(artifact, tmp_path / "plug")


@needs_plugin
@pytest.mark.parametrize("file", ["../a.artpack", "/etc/passwd", 7, None, ""])
def test_the_plug_in_reads_only_files_of_the_folder(
    artifact: Path, tmp_path: Path, file: object
) -> None:
    plugin.save_folder(artifact, tmp_path / "plug")
    path = tmp_path / "plug" / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"]["file"] = file
    path.write_text(json.dumps(config))
    with pytest.raises(UsageError, match="is no plain path"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "plug")


@needs_plugin
def test_a_damaged_artifact_is_told_through_the_plug_in(artifact: Path, tmp_path: Path) -> None:
    plugin.save_folder(artifact, tmp_path / "plug")
    content = bytearray(artifact.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "plug" / "model.artpack").write_bytes(content)
    with pytest.raises(CorruptError):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "plug")
    assert torch.get_default_dtype() == torch.float32


def test_a_transformers_that_does_not_name_its_files_is_told_so() -> None:
    quantizer = plugin.ArtpackQuantizer(plugin.ArtpackConfig())
    with pytest.raises(UsageError, match=r"take version 5, artpack\.transformers\.load"):
        quantizer._process_model_before_weight_loading(None, device_map=None)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (None, "holds no model of transformers$"),
        ({"kind": "onnx"}, "holds no model of transformers: an ONNX graph"),
        ({"kind": "transformers"}, r"carries no config\.json"),
    ],
)
def test_other_artifacts_are_refused_with_what_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any, words: str
) -> None:
    artpack.save({"w": torch.ones(2)}, tmp_path / "a", profile="fast")
    monkeypatch.setattr(artpack.Artifact, "model", model)
    with pytest.raises(UsageError, match=words):
        plugin.load(tmp_path / "a")


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "no such model", "architectures": ["X"]},
        {"model_type": "custom", "architectures": ["X"], "auto_map": {"AutoModel": "evil.Model"}},
        {"model_type": "llama", "architectures": ["os"], "hidden_size": "wide"},
    ],
)
def test_configurations_that_transformers_cannot_use_are_one_line(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "config.json").write_text(json.dumps(config))
    torch.save({"w": torch.ones(2)}, tmp_path / "in" / "w.pt")
    artpack.compress(tmp_path / "in", profile="fast", recipe="int8").save(tmp_path / "a")
    with pytest.raises(CheckpointError, match="transformers cannot read it") as told:
        plugin.load(tmp_path / "a")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("through", ["load", pytest.param("plug", marks=needs_plugin)])
def test_a_config_that_asks_for_much_more_than_there_is_gets_nothing(
    artifact: Path, tmp_path: Path, through: str
) -> None:
    with artpack.open(artifact) as opened:
        config = json.loads(opened.files["config.json"]) | {"hidden_size": 1 << 16}
    files = {"config.json": json.dumps(config).encode()}
    source = artifact.parent / "in"
    artpack.compress(source, recipe="int8", profile="fast", files=files).save(tmp_path / "a")
    words = r"describes a model of \d+ weights, and there are 5712"
    if through == "load":
        with pytest.raises(CheckpointError, match=words):
            plugin.load(tmp_path / "a")
        return
    plugin.save_folder(tmp_path / "a", tmp_path / "plug")
    with pytest.raises(CheckpointError, match=words):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "plug")
