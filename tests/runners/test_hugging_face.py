"""Models of transformers are built of their files, run, told apart, and asked for what they are."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from artpack.api.carried import files_of_module
from artpack.errors import CheckpointError, UsageError
from artpack.runners.hugging_face import TransformersRunner, fitting
from artpack.runners.hugging_face_files import (
    build_transformers,
    positions_of,
    read_tokenizer,
    vocabulary_of,
)
from artpack.runners.settings import Settings

pytest.importorskip("transformers", reason="transformers is not installed")
from tests.tiny_transformers import FAMILIES, tiny_model

IDS = torch.arange(24).reshape(3, 8)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_is_built_of_its_files_and_tensors(family: str) -> None:
    model = tiny_model(family)
    built, notes = build_transformers(files_of_module(model), model.state_dict())
    assert not notes
    assert type(built) is type(model)
    assert not built.training
    expected = model.state_dict()
    assert built.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in built.state_dict().items())


@pytest.mark.parametrize(
    ("family", "loss", "is_causal", "width"),
    [
        ("llama-tied", "logits", True, 64),
        ("gpt2", "logits", True, 64),
        ("mixtral", "logits", True, 64),
        ("t5", "logits", False, 64),
        ("bert", "outputs", False, 16),
    ],
)
def test_a_family_says_what_it_gives(
    family: str, loss: str, width: int, *, is_causal: bool
) -> None:
    runner = TransformersRunner(tiny_model(family))
    assert (runner.default_loss, runner.is_causal) == (loss, is_causal)
    assert runner.outputs(runner.states(IDS)).shape == (24, width)


def test_states_are_what_the_model_gives() -> None:
    model = tiny_model("llama-tied")
    runner = TransformersRunner(model)
    with torch.no_grad():
        logits = model(IDS).logits
        assert torch.equal(runner.states(IDS), logits.flatten(0, 1))
        assert torch.equal(runner.logits(runner.hidden(IDS)), logits)
        masked = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
        torch.testing.assert_close(runner.states(masked), logits.flatten(0, 1))


def test_a_window_is_written_as_the_model_says() -> None:
    model = tiny_model("gpt2")
    uniform = np.random.default_rng(0).random((2, 6), np.float32)
    written = TransformersRunner(model).write(uniform, bos_id=3, temperature=0.7)
    assert written[:, 0].tolist() == [3, 3]
    with torch.no_grad():
        logits = model(torch.from_numpy(written)).logits.double() / 0.7
    sums = logits.softmax(-1).cumsum(-1).numpy()
    for row in range(2):
        for at in range(1, 6):
            token, share = written[row, at], uniform[row, at]
            low = sums[row, at - 1, token - 1] if token else 0.0
            assert low - 1e-5 <= share <= sums[row, at - 1, token] + 1e-5


def test_a_fingerprint_is_that_of_the_model_and_not_of_who_wrote_it() -> None:
    model = tiny_model("gpt2")
    files = files_of_module(model)

    def fingerprint(**changes: Any) -> str:
        config = json.loads(files["config.json"]) | changes
        changed = {"config.json": json.dumps(config).encode()}
        return TransformersRunner(
            build_transformers(changed, model.state_dict()).module
        ).fingerprint

    same = fingerprint()
    assert fingerprint(transformers_version="4.0.0", _name_or_path="/here") == same
    assert fingerprint(torch_dtype="bfloat16") == same
    assert fingerprint(activation_function="relu") != same


def test_weights_that_are_missing_are_named() -> None:
    model = tiny_model("llama-untied")
    state = dict(model.state_dict())
    del state["model.layers.0.mlp.up_proj.weight"]
    with pytest.raises(CheckpointError, match=r"1 weights are missing, 'model\.layers\.0\.mlp\.up"):
        build_transformers(files_of_module(model), state)


def test_a_class_of_another_version_is_named() -> None:
    config = {"model_type": "gpt2", "architectures": ["logging"]}
    with pytest.raises(UsageError, match="does not know the model 'logging'"):
        build_transformers({"config.json": json.dumps(config).encode()}, {})


def test_a_config_says_how_much_fits() -> None:
    files = files_of_module(tiny_model("bert"))
    assert (vocabulary_of(files), positions_of(files)) == (64, 64)
    assert positions_of(files_of_module(tiny_model("t5"))) is None
    assert fitting(Settings(batch_tokens=2048), 64) == 2048
    assert fitting(Settings(batch_tokens=16384), 131_072) == 256
    assert fitting(Settings(), 1 << 40) == 1


@pytest.mark.parametrize("config", [b"[]", b'{"model_type": "of the year 2040"}', b'{"a": 1}'])
def test_a_config_that_cannot_be_read_says_so(config: bytes) -> None:
    with pytest.raises(UsageError, match="cannot read the model's config"):
        vocabulary_of({"config.json": config})


def test_a_tokenizer_that_is_missing_says_so() -> None:
    with pytest.raises(UsageError, match="no tokenizer lies with the model"):
        read_tokenizer(files_of_module(tiny_model("llama-tied")))


def test_a_config_of_far_more_weights_than_there_are_gets_no_memory() -> None:
    model = tiny_model("llama-untied")
    files = files_of_module(model)
    huge = json.loads(files["config.json"]) | {"vocab_size": 1 << 26, "intermediate_size": 1 << 26}
    with pytest.raises(
        CheckpointError, match=r"describes a model of \d{10,} weights, and there are"
    ):
        build_transformers({"config.json": json.dumps(huge).encode()}, model.state_dict())
