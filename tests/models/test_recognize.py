from dataclasses import replace
from typing import Any

import pytest

from artpack.errors import UsageError
from artpack.models import expected_shapes
from artpack.models.mechanisms import Bigram, ValueEmbedding
from artpack.models.presets import PRESETS
from artpack.models.recognize import Shapes, read_shapes, recognize


@pytest.mark.parametrize("name", PRESETS)
def test_a_published_checkpoint_is_its_preset(name: str) -> None:
    config = PRESETS[name].config
    assert recognize(expected_shapes(config)) == config


@pytest.mark.parametrize("name", PRESETS)
def test_answers_complete_what_shapes_tell(name: str) -> None:
    config = replace(PRESETS[name].config, vocab_size=999)
    shapes = expected_shapes(config)
    told = read_shapes(shapes)
    answers = {field: value for field, value in config.to_json().items() if field not in told}
    answers["temperature"] = config.temperature.to_json()
    assert recognize(shapes, answers) == config


@pytest.mark.parametrize(
    "change",
    [
        {"bigram": Bigram(64, 512, projected=False)},
        {"value_embedding": ValueEmbedding(512, (1, 1, 20), projected=False)},
        {"tied_head": False},
        {"token_gates": True},
    ],
)
def test_what_a_setting_leaves_out_or_adds_is_read_from_the_names(change: dict[str, Any]) -> None:
    config = replace(PRESETS["pr576"].config, **change)
    shapes = expected_shapes(config)
    told = read_shapes(shapes)
    answers = {field: value for field, value in config.to_json().items() if field not in told}
    answers["temperature"] = config.temperature.to_json()
    embedding = answers["value_embedding"]
    assert isinstance(embedding, dict)
    embedding.pop("projected", None)
    assert recognize(shapes, answers) == config


def test_what_shapes_do_not_tell_is_asked_for_by_name() -> None:
    shapes = expected_shapes(replace(PRESETS["pr1934"].config, vocab_size=999))
    with pytest.raises(UsageError) as caught:
        recognize(shapes)
    for field in ("rope", "softcap", "head_gate", "loop", "lanes", "simulated", "mlp_slope"):
        assert f" {field}," in str(caught.value) or f" {field}:" in str(caught.value)
    assert "num_heads" not in str(caught.value)


def test_an_answer_that_does_not_fit_the_tensors_is_refused() -> None:
    config = replace(PRESETS["lm6m"].config, vocab_size=999)
    answers = {**config.to_json(), "num_kv_heads": 4}
    with pytest.raises(UsageError, match=r"another one: .*c_k\.weight is \(128, 256\)"):
        recognize(expected_shapes(config), answers)


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"wte.weight": (10, 4)},
        {"blocks.0.attn.q_gain": ()},
        {"blocks.0.attn.q_gain": (0,), "blocks.0.attn_scale": (4,), "tok_emb.weight": (4, 4)},
    ],
)
def test_other_checkpoints_are_not_recognised(shapes: Shapes) -> None:
    with pytest.raises(UsageError, match="give its config"):
        recognize(shapes)
