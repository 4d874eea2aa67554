"""Models on the command line: presets are listed, configs are found, checked and stored."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import artpack
from artpack.errors import CheckpointError, CorruptError, UsageError
from artpack.models import GPT, PRESETS, ModelConfig, expected_shapes
from artpack.models.defects import as_meant, as_published
from artpack.models.find import find_model, read_model, stored_model
from artpack.models.mechanisms import Rope, Softcap
from tests.cli.conftest import Invoke

TINY = ModelConfig(340, 16, 2, 4, 2, 32, Rope(10000.0, 4), Softcap("tanh", 30.0))


def tiny_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    model = GPT(TINY)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Write the tiny model's weights, without a config beside them."""
    path = tmp_path / "tiny.pt"
    torch.save(tiny_weights(), path)
    return path


def write_config(folder: Path, value: object, name: str = "model.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(value))
    return path


def test_presets_are_listed_with_their_published_parameters(invoke: Invoke) -> None:
    table = invoke("models").out
    told = json.loads(invoke("models", "--json").out)
    assert told.keys() == PRESETS.keys()
    for name, preset in told.items():
        assert preset["parameters"] == preset["published_parameters"]
        assert f"{preset['parameters']:,}" in table
        assert ModelConfig.from_json(preset["config"]) == PRESETS[name].config


def test_a_given_config_is_stored_and_shown(invoke: Invoke, raw: Path) -> None:
    config = write_config(raw.parent, TINY.to_json())
    done = invoke("compress", raw, "-o", raw.with_name("a.bin"), "--model", config)
    assert done.code == 0
    assert "--model" not in done.err
    told = json.loads(invoke("inspect", raw.with_name("a.bin"), "--json").out)
    assert ModelConfig.from_json(told["model"]) == TINY


def test_a_wrong_config_is_refused_before_anything_is_packed(invoke: Invoke, raw: Path) -> None:
    config = write_config(raw.parent, replace(TINY, mlp_hidden=48).to_json())
    done = invoke("compress", raw, "-o", raw.with_name("a.bin"), "--model", config)
    assert done.code == 2
    assert "another model" in done.err
    assert "blocks.0.mlp.fc.weight is (32, 16), not (48, 16)" in done.err
    assert not raw.with_name("a.bin").exists()
    assert "pr576 describes another model" in invoke("compress", raw, "--model", "pr576").err


def test_a_config_beside_the_checkpoint_is_read_and_noted(invoke: Invoke, raw: Path) -> None:
    write_config(raw.parent, TINY.to_json(), "config.json")
    done = invoke("compress", raw, "-o", raw.with_name("a.bin"))
    assert "note: model: read from config.json beside the checkpoint" in done.err
    with artpack.open(raw.with_name("a.bin")) as artifact:
        assert stored_model(artifact.header.model) == TINY


@pytest.mark.parametrize("beside", [None, {"model_type": "gpt2"}, [1, 2]])
def test_what_cannot_be_inferred_is_named_and_nothing_is_stored(
    invoke: Invoke, raw: Path, beside: object
) -> None:
    if beside is not None:
        write_config(raw.parent, beside, "config.json")
    done = invoke("compress", raw, "-o", raw.with_name("a.bin"))
    assert done.code == 0
    for field in ("rope", "softcap", "mlp_slope", "--model"):
        assert field in done.err
    assert ("config.json beside the checkpoint is not used" in done.err) == (beside is not None)
    assert json.loads(invoke("inspect", raw.with_name("a.bin"), "--json").out)["model"] is None
    assert invoke("unpack", raw.with_name("a.bin"), "-o", raw.with_name("w.pt")).code == 0


def test_only_the_missing_fields_may_be_given(raw: Path) -> None:
    shapes = expected_shapes(TINY)
    with pytest.raises(UsageError) as asked:
        read_model(str(write_config(raw.parent, {"rope": TINY.rope.to_json()})), shapes)
    missing = str(asked.value).partition("the model's ")[2].partition(":")[0].split(", ")
    answers = {name: TINY.to_json()[name] for name in ["rope", *missing]}
    assert read_model(str(write_config(raw.parent, answers)), shapes) == TINY


def test_a_published_checkpoint_is_recognised_by_its_tensors(tmp_path: Path) -> None:
    found = find_model(expected_shapes(PRESETS["pr1934"].config), tmp_path / "w.pt")
    assert found.config == PRESETS["pr1934"].config
    assert found.notes == ("model: the tensors are those of pr1934",)


def test_a_model_that_does_not_exist_is_a_usage_error(invoke: Invoke, raw: Path) -> None:
    assert "did you mean 'pr1934'" in invoke("compress", raw, "--model", "pr1935").err
    bad = raw.with_name("bad.json")
    bad.write_text("{")
    assert "not valid JSON" in invoke("compress", raw, "--model", bad).err


def test_an_artifact_with_nonsense_for_a_model_is_corrupt() -> None:
    with pytest.raises(
        CorruptError, match="describes no model: model: field 'vocab_size' is missing"
    ):
        stored_model({"rope": {"base": 1.0, "dims": 2}})


def test_save_stores_the_model_and_refuses_a_wrong_one(tmp_path: Path) -> None:
    weights = tiny_weights()
    artpack.save(weights, tmp_path / "a.bin", model=TINY, profile="fast")
    with artpack.open(tmp_path / "a.bin") as artifact:
        assert stored_model(artifact.header.model) == TINY
    with pytest.raises(CheckpointError, match="skip_weights"):
        artpack.save(weights, tmp_path / "a.bin", model=replace(TINY, skips=None))


@pytest.mark.parametrize("name", PRESETS)
def test_published_defects_can_be_left_out_and_put_back(name: str) -> None:
    preset = PRESETS[name]
    faithful = preset.as_published or preset.config
    assert as_published(preset.config) == faithful == as_published(faithful)
    assert as_meant(faithful) == preset.config == as_meant(preset.config)


def test_other_members_of_a_family_are_meant_to_keep_documents_apart() -> None:
    published = PRESETS["pr1934"].as_published
    assert published is not None
    small = as_meant(replace(published, vocab_size=99))
    assert small == replace(PRESETS["pr1934"].config, vocab_size=99)
