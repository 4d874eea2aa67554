from dataclasses import replace

import pytest
import torch
from torch import Tensor

from artpack.errors import CheckpointError
from artpack.models import GPT, ModelConfig, build, expected_shapes
from artpack.models.mechanisms import Rope, Softcap

CONFIG = ModelConfig(64, 32, 2, 4, 2, 128, Rope(10000.0, 8), Softcap("tanh", 30.0))


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return {name: torch.full(shape, 0.5) for name, shape in expected_shapes(CONFIG).items()}


def test_the_weights_are_copied(weights: dict[str, Tensor]) -> None:
    model = build(CONFIG, weights)
    with torch.no_grad():
        model.skip_weights.zero_()
    assert weights["skip_weights"].eq(0.5).all()
    assert not model.training


def test_float_tensors_become_the_dtype_asked_for(weights: dict[str, Tensor]) -> None:
    weights["tok_emb.weight"] = weights["tok_emb.weight"].bfloat16()
    assert build(CONFIG, weights).tok_emb.weight.dtype is torch.float32
    kept = build(CONFIG, weights, dtype=None)
    assert kept.tok_emb.weight.dtype is torch.bfloat16
    assert kept.skip_weights.dtype is torch.float32


def test_missing_unexpected_and_misshapen_tensors_are_named(weights: dict[str, Tensor]) -> None:
    del weights["blocks.0.attn.q_gain"]
    weights["lm_head.weight"] = torch.zeros(1)
    weights["skip_weights"] = torch.zeros(2, 32)
    with pytest.raises(CheckpointError) as caught:
        build(CONFIG, weights)
    assert str(caught.value) == (
        "the checkpoint does not fit the model: missing blocks.0.attn.q_gain; "
        "unexpected lm_head.weight; skip_weights is (2, 32), not (1, 32)"
    )


def test_a_long_list_of_names_is_cut_short() -> None:
    with pytest.raises(CheckpointError, match=r"and \d+ more$"):
        build(CONFIG, {})


def test_expected_shapes_allocate_nothing() -> None:
    huge = replace(CONFIG, vocab_size=1 << 24, model_dim=1 << 16, mlp_hidden=1 << 18)
    assert expected_shapes(huge)["tok_emb.weight"] == (1 << 24, 1 << 16)


def test_a_mechanism_that_is_off_leaves_no_tensor_and_no_module() -> None:
    assert set(expected_shapes(CONFIG)) == {
        "tok_emb.weight",
        "skip_weights",
        *(
            f"blocks.{layer}.{name}"
            for layer in range(2)
            for name in (
                "attn_scale",
                "mlp_scale",
                "resid_mix",
                "attn.q_gain",
                "attn.c_q.weight",
                "attn.c_k.weight",
                "attn.c_v.weight",
                "attn.proj.weight",
                "mlp.fc.weight",
                "mlp.proj.weight",
            )
        ),
    }
    kinds = {type(module).__name__ for module in GPT(CONFIG).modules()}
    layers = {"ModuleList", "Block", "Attention", "Mlp", "Linear"}
    assert kinds == {"GPT", "Embedding", "TiedHead"} | layers


@torch.no_grad()
def test_a_model_without_skips_runs(weights: dict[str, Tensor]) -> None:
    plain = replace(CONFIG, skips=None)
    del weights["skip_weights"]
    ids = torch.zeros(1, 4, dtype=torch.int64)
    assert not torch.equal(build(plain, weights).embed(ids), build(plain, weights).hidden(ids))
    assert "skip_weights" not in expected_shapes(plain)
