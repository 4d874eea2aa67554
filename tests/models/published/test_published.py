import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artpack.errors import UsageError
from artpack.models import ModelConfig, expected_shapes
from artpack.models.mechanisms import Lanes, Ntk, Skips
from artpack.models.presets import preset
from artpack.models.published import READERS, from_published_config, published_system, read_config

LM6M: dict[str, Any] = {
    "vocab_size": 1024,
    "model_dim": 256,
    "num_layers": 8,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 64,
    "mlp_hidden": 1024,
    "rope_base": 10000,
    "rope_dims": 64,
    "logit_softcap": 30.0,
    "activation": "relu2",
    "tied_embeddings": True,
    "train_window_tokens": 512,
}


SMALL: dict[str, dict[str, Any]] = {
    "pr1123": {
        "vocab_size": 50,
        "num_layers": 3,
        "model_dim": 48,
        "num_heads": 4,
        "num_kv_heads": 2,
        "logit_softcap": 15.0,
        "rope_base": 10000.0,
        "qk_gain_init": 2.0,
        "hidden_mult": 4.0,
        "tie_embeddings": True,
        "xsa_last_n": 3,
        "value_residual": True,
        "use_smear": True,
        "bigram_vocab": 20,
        "bigram_dim": 10,
        "ve_enabled": True,
        "ve_dim": 6,
        "ve_layers": "1,2",
        "rope_dims": 8,
        "ln_scale": True,
    },
    "pr576": {
        "vocab_size": 50,
        "num_layers": 3,
        "model_dim": 48,
        "num_heads": 4,
        "num_kv_heads": 2,
        "mlp_mult": 3.5,
        "tie_embeddings": True,
        "tied_embed_init_std": 0.005,
        "logit_softcap": 30.0,
        "rope_base": 10000.0,
        "qk_gain_init": 1.5,
        "bigram_vocab_size": 20,
        "bigram_dim": 10,
        "xsa_last_n": 3,
        "rope_dims": 8,
        "ln_scale": True,
        "dtg": False,
        "ve_enabled": True,
        "ve_dim": 6,
        "ve_layers": "1,2",
    },
}
"""Constructor arguments of two systems."""

OFF: dict[str, dict[str, Any]] = {
    "pr1123": {
        "tie_embeddings": False,
        "value_residual": False,
        "use_smear": False,
        "bigram_vocab": 0,
        "ve_layers": "",
        "rope_dims": 0,
        "ln_scale": False,
        "xsa_last_n": 0,
    },
    "pr576": {
        "tie_embeddings": 0,
        "bigram_vocab_size": 0,
        "ve_enabled": 0,
        "rope_dims": 0,
        "ln_scale": 0,
        "xsa_last_n": 0,
        "dtg": 1,
    },
}
"""Every switch of them the other way."""


def small_config(system: str, **changes: Any) -> ModelConfig:
    """Read a small config with some arguments changed."""
    digits = int(system.removeprefix("pr"))
    return from_published_config({"pr": digits, "constructor_args": {**SMALL[system], **changes}})


@pytest.mark.parametrize(
    ("factor", "hidden"), [(4.0, 192), (3.0, 192), (2.0, 128), (2.7, 192), (0.1, 64)]
)
def test_the_mlp_of_pr1123_is_rounded_up(factor: float, hidden: int) -> None:
    assert small_config("pr1123", hidden_mult=factor).mlp_hidden == hidden
    assert small_config("pr576", mlp_mult=factor).mlp_hidden == int(48 * factor)


@pytest.mark.parametrize("system", ["pr1123", "pr576"])
def test_tables_of_equal_width_have_no_projection(system: str) -> None:
    names = set(expected_shapes(small_config(system)))
    assert {"bigram.proj.weight", "ve_shared.proj.weight"} <= names
    assert "bigram.proj.weight" not in expected_shapes(small_config(system, bigram_dim=48))
    assert "ve_shared.proj.weight" not in expected_shapes(small_config(system, ve_dim=24))


@pytest.mark.parametrize("system", ["pr1123", "pr576"])
def test_every_switch_can_be_turned(system: str) -> None:
    model = small_config(system, **OFF[system])
    names = set(expected_shapes(model))
    assert "lm_head.weight" in names
    assert not any(name.startswith(("bigram", "ve_")) for name in names)
    assert (model.rope.dims, model.layer_scale, model.xsa_last_layers) == (12, False, 0)
    if system == "pr1123":
        assert not any(name.startswith("smear") or "vr_lambda" in name for name in names)
    else:
        assert expected_shapes(model)["blocks.2.dtg_gate.weight"] == (1, 48)
        assert expected_shapes(model)["blocks.2.dtg_gate.bias"] == (1,)


@pytest.mark.parametrize("system", ["pr1123", "pr576"])
def test_listed_layers_need_no_order(system: str) -> None:
    model = small_config(system, ve_layers=" 2, 0,2,7,", xsa_last_n=99)
    assert model.value_embedding is not None
    assert model.value_embedding.layers == (2, 0, 2, 7)
    assert "ve_layer_scales.3" in expected_shapes(model)


@pytest.mark.parametrize("system", ["pr1123", "pr576"])
def test_no_heads_are_refused(system: str) -> None:
    with pytest.raises(UsageError, match="num_heads 0 does not divide 48"):
        small_config(system, num_heads=0)


def golden_config(cases: Path, system: str) -> Any:
    return json.loads((cases / "golden" / system / "A" / "config.json").read_text())


def test_a_flat_config_is_read() -> None:
    assert read_config(LM6M) == preset("lm6m")


def test_our_own_config_is_read() -> None:
    config = preset("pr1934")
    assert read_config(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 3}, "lm6m: unknown constructor arguments depth"),
        ({"num_layers": "8"}, "lm6m: num_layers must be a whole number, got '8'"),
        ({"rope_base": True}, "lm6m: rope_base must be a number, got True"),
        ({"activation": "gelu"}, "lm6m: activation 'gelu' is not supported, only 'relu2'"),
        ({"head_dim": 32}, "lm6m: head_dim 32 is not supported, only 64"),
    ],
)
def test_an_argument_without_a_mechanism_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_config({**LM6M, **change})


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(UsageError, match="'rope_dims' is missing"):
        read_config({name: value for name, value in LM6M.items() if name != "rope_dims"})


def test_an_unknown_system_is_named() -> None:
    with pytest.raises(UsageError, match="'pr9999'"):
        from_published_config({"pr": 9999})
    with pytest.raises(UsageError, match="no published system"):
        from_published_config([1])


@pytest.mark.parametrize("system", [name for name in READERS if name != "lm6m"])
def test_the_config_says_which_system_it_is(cases: Path, system: str) -> None:
    assert published_system(golden_config(cases, system)) == system


@pytest.mark.parametrize("system", ["pr2086", "pr1123", "pr576"])
def test_published_arguments_give_the_preset(cases: Path, system: str) -> None:
    config = golden_config(cases, system)
    config["constructor_args"] = config["published_constructor_args"]
    config.pop("derived", None)
    published = preset(system, faithful=True)
    if system == "pr2086":
        # The preset computes as the published, compiled run did; the reader as plain float32.
        read = from_published_config(config)
        published = replace(published, rope=read.rope, simulated=read.simulated)
    assert from_published_config(config) == published


@pytest.mark.parametrize("system", ["pr2086", "pr1123", "pr826", "pr576"])
def test_a_new_constructor_argument_is_refused(cases: Path, system: str) -> None:
    config = golden_config(cases, system)
    arguments = (
        config["experiment_config"]["model"] if system == "pr826" else config["constructor_args"]
    )
    arguments["num_experts"] = 4
    with pytest.raises(UsageError, match=f"{system}: unknown constructor arguments num_experts"):
        from_published_config(config)


def test_the_arguments_of_pr1934_switch_its_mechanisms_off(cases: Path) -> None:
    config = golden_config(cases, "pr1934")
    config["hyperparameters"] |= {
        "num_loops": 0,
        "smear_gate_enabled": False,
        "sparse_attn_gate_enabled": False,
        "skip_gates_enabled": False,
        "ln_scale": False,
        "parallel_start_layer": 0,
        "parallel_final_lane": "attn",
        "rope_dims": 0,
    }
    model = from_published_config(config)
    assert (model.loop, model.smear, model.head_gate) == (None, None, None)
    assert model.skips is not None
    assert not model.skips.gated
    assert model.lanes == Lanes(model.num_layers, "attention")
    assert model.rope.dims == model.head_dim
    assert "parallel_resid_lambdas" in expected_shapes(model)


def test_the_arguments_of_pr826_switch_its_mechanisms_off(cases: Path) -> None:
    config = golden_config(cases, "pr826")
    config["experiment_config"]["model"] |= {
        "activation_mode": "relu2",
        "bigram_vocab_size": 0,
        "ve_enabled": False,
        "use_unet_skips": False,
    }
    model = from_published_config(config)
    assert (model.mlp_slope, model.bigram, model.value_embedding) == (0.0, None, None)
    assert model.skips == Skips(rows=False)


def test_the_ntk_reference_of_pr576_can_be_overridden(cases: Path) -> None:
    config = golden_config(cases, "pr576")
    assert from_published_config(config).rope.ntk == Ntk(1024)
    derived = copy.deepcopy(config)
    derived["derived"] = {"rotary_train_seq_len": 32}
    assert from_published_config(derived).rope.ntk == Ntk(32)
    config["post_construction_overrides"] = {"blocks.*.attn.rotary.train_seq_len": 16}
    assert from_published_config(config).rope.ntk == Ntk(16)


@pytest.mark.parametrize(
    ("system", "change", "message"),
    [
        ("pr2086", {"softcap_type": 3}, "softcap_type must be text, got 3"),
        ("pr826", {"activation_mode": "gelu"}, "no mechanism for activation_mode 'gelu'"),
        ("pr576", {"ln_scale": "yes"}, "ln_scale must be true or false, got 'yes'"),
        ("pr1123", {"ve_layers": "3,x"}, "ve_layers must be layer numbers, got '3,x'"),
        ("pr1123", {"rope_base": None}, "rope_base must be a number, got None"),
    ],
)
def test_a_wrong_value_is_named(
    cases: Path, system: str, change: dict[str, Any], message: str
) -> None:
    config = golden_config(cases, system)
    tables = config["experiment_config"] if system == "pr826" else config
    tables["model" if system == "pr826" else "constructor_args"] |= change
    with pytest.raises(UsageError, match=f"{system}: {message}"):
        from_published_config(config)


def test_arguments_that_are_no_table_are_refused() -> None:
    with pytest.raises(UsageError, match="pr576: the constructor arguments must be an object"):
        from_published_config({"pr": 576})


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, "model_type: llama"),
        ({"architectures": ["BertModel"], "rope": {}}, "architectures: BertModel"),
        ({"_class_name": "UNet2DConditionModel", "model_type": 3}, "_class_name: UNet2D"),
        ({"hidden_size": 64, "n_layer": 2}, "hidden_size, n_layer and no model_dim"),
        ({}, "no keys and no model_dim"),
    ],
)
def test_a_config_of_another_library_is_called_what_it_is(
    config: dict[str, Any], kind: str
) -> None:
    with pytest.raises(UsageError, match=rf"of another kind of model \({kind}.*can be packed"):
        read_config(config)
