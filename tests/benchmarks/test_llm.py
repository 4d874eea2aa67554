"""Peers of the benchmark of language models: types by llama.cpp's rules, GPTQ's packed integers."""

import pytest
import torch

from benchmarks.llm.gptq import GROUP, quantize_matrix, unpack_matrix
from benchmarks.llm.mixes import MIXES, Mix

NAMED = {mix.name: mix for mix in MIXES}
LAYERS = 30


@pytest.mark.parametrize(
    ("mix", "tensor", "cols", "kind"),
    [
        # Rows of 576 are no multiple of 256.
        ("Q4_K_M", "blk.9.attn_q.weight", 576, "Q5_0"),
        ("Q4_K_M", "blk.9.attn_q.weight", 1536, "Q4_K"),
        ("Q4_K_M", "blk.2.attn_v.weight", 576, "Q8_0"),
        ("Q4_K_M", "blk.3.attn_v.weight", 576, "Q5_0"),
        ("Q4_K_M", "blk.5.ffn_down.weight", 1536, "Q6_K"),
        ("Q4_K_M", "blk.6.ffn_down.weight", 1536, "Q4_K"),
        ("Q4_K_M", "blk.26.ffn_down.weight", 1536, "Q6_K"),
        ("Q3_K_M", "blk.0.ffn_down.weight", 1536, "Q5_K"),
        ("Q3_K_M", "blk.1.ffn_down.weight", 1536, "Q4_K"),
        ("Q3_K_M", "blk.1.ffn_up.weight", 576, "Q4_0"),
        ("Q3_K_M", "blk.1.attn_v.weight", 576, "Q5_1"),
        ("Q3_K_M", "blk.2.attn_v.weight", 576, "Q5_0"),
        ("IQ2_XXS", "blk.2.ffn_down.weight", 1536, "Q2_K"),
        ("IQ2_XXS", "blk.3.ffn_down.weight", 1536, "IQ2_XXS"),
        ("IQ2_XXS", "blk.3.attn_v.weight", 576, "Q4_0"),
        ("IQ2_XXS", "blk.3.attn_q.weight", 576, "IQ4_NL"),
        ("Q4_0", "blk.2.ffn_down.weight", 1536, "Q4_1"),
        ("Q4_0", "blk.3.ffn_down.weight", 1536, "Q4_0"),
        ("Q4_0", "token_embd.weight", 576, "Q8_0"),
        ("Q4_0", "token_embd.weight", 2048, "Q6_K"),
        ("Q4_0, embedding Q4_0", "token_embd.weight", 576, "Q4_0"),
    ],
)
def test_types_are_those_of_llama_cpp(mix: str, tensor: str, cols: int, kind: str) -> None:
    assert NAMED[mix].type_of(tensor, cols, LAYERS) == kind


def test_every_mix_has_a_name_of_its_own() -> None:
    assert len(NAMED) == len(MIXES)
    assert all(isinstance(mix, Mix) for mix in MIXES)


@pytest.mark.parametrize("bits", [3, 4])
def test_packed_integers_are_read_again(bits: int) -> None:
    torch.manual_seed(0)
    weight = torch.randn(64, 192)
    packed = quantize_matrix(weight.clone(), torch.eye(192), bits)
    assert packed["qweight"].shape == (192 * bits // 32, 64)
    assert packed["qzeros"].shape == (2, 64 * bits // 32)
    # Without correlations every weight goes to the nearest point; all inputs count alike.
    place = packed["g_idx"].long()
    scale = packed["scales"].float()[place].T
    middle = 1 << (bits - 1)
    codes = (weight / scale).round().clamp(-middle, middle - 1)
    assert torch.equal(unpack_matrix(packed, bits), codes * scale)
    assert place.bincount().tolist() == [GROUP, 64]


def test_errors_are_made_good_by_what_comes_later() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(2000, 192) @ torch.randn(192, 192)
    weight, hessian = torch.randn(64, 192), inputs.T @ inputs / 2000

    def loss(found: torch.Tensor) -> float:
        return float(((found - weight) @ hessian * (found - weight)).sum())

    with_data = unpack_matrix(quantize_matrix(weight.clone(), hessian, 3), 3)
    without = unpack_matrix(quantize_matrix(weight.clone(), torch.eye(192), 3), 3)
    assert loss(with_data) < 0.8 * loss(without)
