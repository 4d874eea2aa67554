"""Tensors that a recipe's rules are not for: too small, too large, masks, and others' scales."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import artpack
from artpack.artifact.reader import open_artifact
from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
from artpack.errors import CheckpointError
from artpack.pack.compress import Packed, compress
from artpack.pack.kept_as_is import find_exceptions
from artpack.quantize.fit import is_mask
from artpack.recipes import load_recipe

RECIPES = ("int8", "int6", "int4", "ternary", "quinary", "frontier", "pr2086")


def weights(size: float) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {
        "fc.weight": torch.randn(48, 96, generator=draw) * size,
        "fc.bias": torch.randn(48, generator=draw) * size,
        "gates": torch.randn(4, 24, generator=draw) * size,
    }


def through(tensors: dict[str, Tensor], recipe: str, path: Path) -> dict[str, Tensor]:
    artpack.save(tensors, path / "a", recipe=recipe, profile="fast")
    return artpack.load(path / "a")


def packed(tensors: dict[str, Tensor], recipe: str = "int6") -> tuple[Packed, tuple[str, ...]]:
    with from_state_dict(tensors) as checkpoint:
        selection = select(checkpoint)
        spec, notes = find_exceptions(checkpoint, selection, load_recipe(recipe))
        return compress(checkpoint, selection, spec), notes


def kinds(tensors: dict[str, Tensor], recipe: str = "int6") -> dict[str, str]:
    plan = packed(tensors, recipe)[0].header.plan
    return {tensor.name: tensor.quantizer.label for tensor in plan.tensors}


def relative(weight: Tensor, back: Tensor) -> float:
    return float((weight.double() - back.double()).norm() / weight.double().norm())


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("log2_step", [-20, -27, -60])
def test_small_weights_lose_what_the_same_weights_lose_at_any_size(
    tmp_path: Path, recipe: str, log2_step: int
) -> None:
    normal = weights(1.0)
    back = through(normal, recipe, tmp_path)
    usual = {name: relative(weight, back[name]) for name, weight in normal.items()}
    small = weights(2.0**log2_step)
    back = through(small, recipe, tmp_path)
    for name, weight in small.items():
        assert relative(weight, back[name]) <= 1.01 * usual[name]


def test_a_step_counts_as_lost_where_it_moves_the_outermost_level_by_half_a_step() -> None:
    """For int8 that is an error of one in 254; at 2**-17 fp16 may be off by one in 256."""
    row = torch.full((32, 8), 127 * 2.0**-17)
    assert packed({"w": row}, "int8")[1] == ()
    off = torch.full((32, 8), 127 * 1.5 * 2.0**-19)
    assert packed({"w": off}, "int8")[1] == ()
    off = torch.full((32, 8), 127 * (4 + 0.5) * 2.0**-24)
    assert packed({"w": off}, "int8")[1] == ("scales in fp32, too small for fp16: w",)


def test_one_small_row_is_enough() -> None:
    weight = torch.ones(32, 64)
    weight[3] = torch.linspace(-1e-8, 1e-8, 64)
    result, notes = packed({"w": weight}, "int8")
    assert notes == ("scales in fp32, too small for fp16: w",)
    with open_artifact(result.content()) as artifact:
        assert relative(weight[3], artifact["w"][3]) < 0.01


def test_weights_of_the_usual_size_have_no_exceptions() -> None:
    with from_state_dict(weights(0.02)) as checkpoint:
        for recipe in RECIPES[:-1]:
            spec, notes = find_exceptions(checkpoint, select(checkpoint), load_recipe(recipe))
            assert (spec.exceptions, notes) == ({}, ())
            assert find_exceptions(checkpoint, select(checkpoint), spec) == (spec, ())


def test_doubles_too_small_for_fp32_are_kept() -> None:
    tensors = {"w": torch.full((40, 40), 1e-300, dtype=torch.float64)}
    assert kinds(tensors) == {"w": "raw fp64"}


@pytest.mark.parametrize("recipe", [*RECIPES, "pr1123"])
def test_buffers_and_masks_are_kept_as_they_are(recipe: str, tmp_path: Path) -> None:
    causal = torch.full((64, 64), -torch.inf).triu(1)
    tensors = {
        "masked_bias": torch.tensor(-1e9),
        "causal": causal,
        "banded": causal.clamp(min=torch.finfo(torch.float32).min),
        "batched": causal.reshape(1, 1, 64, 64),
        "limits": torch.tensor([-torch.inf, torch.inf, 1.0]),
        "norm": torch.ones(16),
    }
    back = through(tensors, recipe, tmp_path)
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor), name
    found = kinds(tensors, "int6")
    assert found == {
        "masked_bias": "raw fp32",
        "causal": "raw fp32",
        "banded": "raw fp32",
        "batched.0.0": "raw fp32",
        "limits": "raw fp32",
        "norm": "fp16",
    }
    assert packed(tensors, "int6")[1][0].startswith("kept as they are, with values that are too")


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan, 1e9])
def test_a_matrix_that_has_diverged_is_still_refused(value: float) -> None:
    weight = torch.randn(64, 64)
    weight[5, 7] = value
    assert not is_mask(weight)
    with pytest.raises(CheckpointError, match="'w': "):
        packed({"w": weight})
    with pytest.raises(CheckpointError, match="'b': weight nan"):
        packed({"b": torch.tensor([1.0, torch.nan])})


@pytest.mark.parametrize(
    "tensors",
    [
        {"fc.weight": torch.float8_e4m3fn, "fc.weight_scale_inv": None, "fc.input_scale": None},
        {"fc.qweight": torch.int32, "fc.qzeros": torch.int32, "fc.scales": None},
        {"fc.weight": torch.uint8, "fc.weight.absmax": None, "fc.weight.quant_map": None},
        {"mlp.up_blocks": torch.uint8, "mlp.up_scales": None},
        {"fc.weight_packed": torch.int32, "fc.weight_scale": None, "attn.k_scale": None},
        {"fc.W_q": torch.uint8, "fc.scale": None, "fc.zero": None},
        {"weight": torch.int8, "weight_scale": None},
    ],
    ids=["fp8", "gptq", "bitsandbytes", "mxfp4", "compressed-tensors", "hqq", "top"],
)
@pytest.mark.parametrize("recipe", ["int6", "ternary"])
def test_scales_of_quantized_weights_are_kept(
    tensors: dict[str, torch.dtype | None], recipe: str
) -> None:
    draw = torch.Generator().manual_seed(0)
    given = {
        name: torch.randn(64, 40, generator=draw)
        if dtype is None
        else torch.randint(0, 99, (64, 40), generator=draw).to(dtype)
        for name, dtype in tensors.items()
    } | {"fc.bias": torch.ones(64), "head.weight": torch.randn(64, 64, generator=draw)}
    found = kinds(given, recipe)
    assert all(found[name].startswith("raw") for name in tensors)
    assert not found["head.weight"].startswith("raw")
    assert found["fc.bias"] == "fp16"


def test_scales_that_a_model_learns_are_weights_like_others() -> None:
    tensors = {"blocks.0.attn_scale": torch.rand(64), "blocks.0.ids": torch.arange(64)}
    assert kinds(tensors)["blocks.0.attn_scale"] == "fp16"
