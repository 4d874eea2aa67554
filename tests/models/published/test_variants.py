"""What the published scripts compute with other settings than the published ones."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.errors import UsageError
from artpack.models import GPT, ModelConfig, build, expected_shapes
from artpack.models.attention import Attention, Shared
from artpack.models.embeddings import bigram_rows
from artpack.models.mechanisms import Ntk, Rope, Skips, Softcap, ValueEmbedding
from artpack.models.mlp import Mlp
from artpack.models.published import from_published_config
from artpack.models.recognize import read_shapes
from artpack.models.rope import rope_frequencies
from tests.models.conftest import random_weights

PLAIN = ModelConfig(61, 24, 4, 3, 3, 40, Rope(10000.0, 8), Softcap("tanh", 30.0))
IDS = torch.arange(20).view(2, 10) * 7 % 61

PR2086: dict[str, Any] = {
    "vocab_size": 61,
    "num_layers": 3,
    "model_dim": 24,
    "num_heads": 3,
    "num_kv_heads": 1,
    "mlp_mult": 2,
    "tie_embeddings": 1,
    "logit_softcap": 10.0,
    "rope_base": 5000.0,
    "group_size": 8,
    "activation": "relu2",
    "embed_dim": 12,
    "softcap_type": "poly",
    "no_cache": False,
    "rope_type": "yarn",
    "yarn_max_len": 128,
    "train_seq_len": 64,
}
PR826: dict[str, Any] = {
    "num_layers": 3,
    "model_dim": 32,
    "num_heads": 4,
    "num_kv_heads": 2,
    "mlp_mult": 1.6,
    "activation_mode": "leaky_relu2",
    "tie_embeddings": True,
    "rope_base": 10000.0,
    "rope_dims": 4,
    "logit_softcap": 30.0,
    "xsa_last_n": 2,
    "ln_scale": True,
    "bigram_vocab_size": 0,
    "bigram_dim": 8,
    "ve_enabled": True,
    "ve_dim": 8,
    "ve_layers": [1, 2],
    "lower_replace_layers": 0,
    "use_unet_skips": True,
    "glu_values": False,
    "leaky_relu_slope": 0.9,
}


def pr2086(**changes: Any) -> ModelConfig:
    config: dict[str, Any] = {"pr": 2086, "constructor_args": {**PR2086, **changes}}
    return from_published_config(config)


def pr826(**changes: Any) -> ModelConfig:
    model = {**PR826, **changes}
    config: dict[str, Any] = {"script": "PR 826", "experiment_config": {"model": model}}
    return from_published_config({**config, "vocab_size": 61})


def made(config: ModelConfig) -> GPT:
    return build(config, random_weights(config), dtype=torch.float64)


def filled(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double()


def rms(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 2.0**-23).sqrt()


@pytest.mark.parametrize(
    ("word", "act"),
    [
        ("relu2", lambda u: F.relu(u) ** 2),
        ("relu", F.relu),
        ("leaky_relu", lambda u: torch.where(u > 0, u, 0.01 * u)),
        ("leaky_relu2", lambda u: torch.where(u > 0, u, 0.5 * u) ** 2),
        ("swiglu", lambda u: u[..., :48] * u[..., :48].sigmoid() * u[..., 48:]),
        ("gelu", lambda u: F.relu(u) ** 2),
    ],
)
@torch.no_grad()
def test_pr2086_has_five_activations_and_takes_any_other_word_for_relu2(
    word: str, act: Any
) -> None:
    config = replace(pr2086(activation=word), simulated=())
    mlp = filled(Mlp(config))
    up, down = (weight for _, weight in sorted(mlp.named_parameters()))
    assert dict(mlp.named_parameters()).keys() == {
        "gate_up.weight" if word == "swiglu" else "fc.weight",
        "proj.weight",
    }
    assert up.shape == ((96, 24) if word == "swiglu" else (48, 24))
    n = torch.randn(2, 5, 24, dtype=torch.float64)
    assert torch.allclose(mlp(n, {}), rms(act(n @ up.T)) @ down.T, atol=1e-12)


def test_pr2086_takes_other_words_as_its_script_does() -> None:
    assert pr2086(softcap_type="tanh").softcap == Softcap("tanh", 10.0)
    assert pr2086(softcap_type="none").softcap == Softcap("poly5", 10.0)
    assert pr2086(rope_type="rope").rope.yarn is None
    assert pr2086(yarn_max_len=64).rope.yarn is not None
    equal = rope_frequencies(pr2086(yarn_max_len=64).rope, 10)
    assert equal.equal(rope_frequencies(pr2086(rope_type="plain").rope, 10))
    shorter = rope_frequencies(pr2086(yarn_max_len=32).rope, 10)
    assert float(shorter[-1] / equal[-1]) == pytest.approx(1.5)  # two thirds up the ramp


@pytest.mark.parametrize("width", [0, -1, 24])
def test_pr2086_without_a_narrow_table_has_no_projections(width: int) -> None:
    shapes = expected_shapes(pr2086(embed_dim=width))
    assert shapes["tok_emb.weight"] == (61, 24)
    assert not any(name.startswith("embed_proj") for name in shapes)


@torch.no_grad()
def test_pr2086_with_a_head_of_its_own_leaves_the_reverse_projection_unused() -> None:
    config = pr2086(tie_embeddings=0)
    weights = random_weights(config)
    assert weights["lm_head.weight"].shape == (61, 24)
    model = build(config, weights)
    hidden = torch.randn(3, 24)
    head = weights["lm_head.weight"].to(torch.float8_e4m3fn).float()
    assert torch.allclose(
        model.raw_logits(hidden), hidden @ head.T + weights["vocab_bias"], atol=1e-5
    )
    other = build(config, weights | {"embed_proj_rev.weight": torch.zeros(12, 24)})
    assert other(IDS).equal(model(IDS))


@torch.no_grad()
def test_a_head_of_its_own_is_read_instead_of_the_table() -> None:
    config = pr826(tie_embeddings=False)
    model, tied = made(config), made(pr826())
    hidden = torch.randn(3, 32, dtype=torch.float64)
    head = model.get_parameter("lm_head.weight")
    assert model.raw_logits(hidden).equal(hidden @ head.T)
    assert "lm_head.weight" not in tied.state_dict()
    assert read_shapes(expected_shapes(config))["tied_head"] is False


@torch.no_grad()
def test_values_are_gated_by_their_own_sigmoid_after_the_value_embedding() -> None:
    config = replace(pr826(glu_values=True), xsa_last_layers=0)
    attention = filled(Attention(config, 1))
    n, extra = torch.randn(2, 1, 32).double(), torch.randn(2, 1, 16).double()
    still = torch.ones(1, 2).double(), torch.zeros(1, 2).double()
    # A first token attends to itself alone, so that its values are what comes out.
    y = attention(n, Shared(n, *still, None, {1: extra}), {})
    weights = dict(attention.named_parameters())
    v = n @ weights["c_v.weight"].T + extra
    v = (v * v.sigmoid()).view(2, 1, 2, 8).repeat_interleave(2, dim=2).flatten(2)
    assert torch.allclose(y, v @ weights["proj.weight"].T, atol=1e-12)


@pytest.mark.parametrize("limit", [0.0, -1.0])
@torch.no_grad()
def test_without_a_softcap_logits_are_only_cooled(limit: float) -> None:
    model = made(pr826(logit_softcap=limit))
    assert model.config.softcap is None
    hidden = 100 * torch.randn(3, 32, dtype=torch.float64)
    assert model.logits(hidden).equal(model.raw_logits(hidden))
    assert model.logits(hidden, 0.5).equal(model.raw_logits(hidden) / 0.5)


@torch.no_grad()
def test_skips_that_are_off_leave_a_tensor_without_rows() -> None:
    config = pr826(use_unet_skips=False)
    shapes = expected_shapes(config)
    assert shapes["skip_weights"] == (0, 32)
    assert read_shapes(shapes)["skips"] == {"gated": False, "rows": False}
    model = made(config)
    weights = model.state_dict()
    del weights["skip_weights"]
    assert build(replace(config, skips=None), weights, dtype=None)(IDS).equal(model(IDS))


def test_one_layer_has_no_skip_and_an_empty_tensor() -> None:
    config = pr826(num_layers=1, ve_layers=[0])
    shapes = expected_shapes(config)
    assert shapes["skip_weights"] == (0, 32)
    assert read_shapes(shapes)["skips"] == {"gated": False, "rows": True}
    assert made(config)(IDS).isfinite().all()


@torch.no_grad()
def test_each_entry_of_the_value_layers_has_a_scale_and_the_first_counts() -> None:
    config = pr826(ve_layers=[2, 0, 2, 7])
    model = made(config)
    assert config.value_embedding == ValueEmbedding(8, (2, 0, 2, 7))
    assert sum(name.startswith("ve_layer_scales") for name in model.state_dict()) == 4
    before = model(IDS)
    for unused in (2, 3):
        model.ve_layer_scales[unused].fill_(9.0)
    assert model(IDS).equal(before)
    for used in (0, 1):
        changed = made(config)
        changed.ve_layer_scales[used].fill_(9.0)
        assert not torch.allclose(changed(IDS), before)


@torch.no_grad()
def test_more_self_excluding_layers_than_there_are_means_all() -> None:
    weights = random_weights(PLAIN)
    every = build(replace(PLAIN, xsa_last_layers=4), weights)
    assert build(replace(PLAIN, xsa_last_layers=11), weights)(IDS).equal(every(IDS))
    assert not torch.allclose(build(PLAIN, weights)(IDS), every(IDS))


def test_two_rotated_channels_work_up_to_the_reference_length() -> None:
    rope = Rope(10000.0, 2, ntk=Ntk(64))
    assert rope_frequencies(rope, 64).tolist() == [1.0]
    with pytest.raises(UsageError, match=r"rope\.dims of 4 or more beyond 64 tokens"):
        rope_frequencies(rope, 65)


def test_hashes_of_large_ids_wrap_as_in_int32() -> None:
    token, before = 100_003, 77_777
    product = (36313 * token + 2**31) % 2**32 - 2**31
    other = (27191 * before + 2**31) % 2**32 - 2**31
    rows = bigram_rows(torch.tensor([[before, token]]), 500)
    assert product != 36313 * token
    assert rows.tolist() == [[499, (product ^ other) % 499]]


def test_local_mixers_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="lower_replace_layers 2 is not supported"):
        pr826(lower_replace_layers=2)


def test_a_checkpoint_tells_gated_and_plain_mlps_apart() -> None:
    told = read_shapes(expected_shapes(pr2086(activation="swiglu")))
    assert (told["mlp_kind"], told["mlp_hidden"]) == ("swiglu", 48)
    assert read_shapes(expected_shapes(pr2086()))["mlp_hidden"] == 48
    assert Skips() != Skips(rows=False)
