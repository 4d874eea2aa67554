"""PR 826's settings of its export become the right rules."""

from pathlib import Path
from typing import Any

import pytest

from artpack.quantize import RowInt
from artpack.recipes import load_recipe
from artpack.recipes.rules import Rule
from artpack.recipes.spec import PlanSpec
from tests.golden.checks.recipe_826 import recipe_of

EXPORT: dict[str, Any] = {
    "export_quantizer": "full_gptq_int5",
    "int8_clip_percentile": 99.99984,
    "int6_clip_percentiles": [0.999, 0.9995, 0.9999, 0.99999, 1.0],
    "gptq_block_size": 128,
    "gptq_refine_steps": 3,
    "gptq_damp_percent": 0.01,
    "gptq_scale_percentiles": [0.999, 0.9995, 0.9999, 0.99999, 1.0],
    "gptq_int6_last_n": 0,
    "fp32_name_patterns": [
        "attn_scale",
        "mlp_scale",
        "resid_mix",
        "q_gain",
        "skip_weight",
        "smear",
        "dtg_gate",
        "ve_layer_scales",
        "ve_shared.scale",
    ],
    "fp16_name_patterns": [],
    "int6_tensor_classes": ["attention", "mlp", "local_mixer"],
}
FC, PROJ = "upper_blocks.{}.mlp.fc.weight", "upper_blocks.{}.attn.proj.weight"


def spec_of(folder: Path, *, with_data: bool = True, kept: int = 100, **changes: Any) -> PlanSpec:
    path = folder / "export.toml"
    settings = {**EXPORT, **changes}
    path.write_text(recipe_of(settings, kept=kept, layers=11, with_data=with_data))
    return load_recipe(str(path))


def rule(spec: PlanSpec, name: str, *shape: int) -> Rule:
    found = spec.rule_for(name, shape)
    assert found is not None
    return found


def bits(spec: PlanSpec, name: str, *shape: int) -> int:
    quantizer = rule(spec, name, *shape).quantizer
    assert isinstance(quantizer, RowInt)
    return quantizer.bits


def test_published_settings_are_the_published_recipe(tmp_path: Path) -> None:
    ours, theirs = load_recipe("pr826"), spec_of(tmp_path, kept=65536)
    assert ours.search == theirs.search
    names = {"control": "float32", "rest": "rest"}
    for own in ours.rules:
        other = next(r for r in theirs.rules if r.name == names.get(own.name, own.name))
        assert (own.quantizer, own.steps, own.rounding) == (
            other.quantizer,
            other.steps,
            other.rounding,
        )
        assert own.min_weights == other.min_weights


def test_the_last_blocks_may_have_six_bits(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, gptq_int6_last_n=2)
    assert [bits(spec, FC.format(i), 20, 20) for i in (1, 8, 9, 10)] == [5, 5, 6, 6]
    spec = spec_of(tmp_path, gptq_int6_last_n=2, export_quantizer="full_gptq_int6")
    assert [bits(spec, PROJ.format(i), 20, 20) for i in (1, 10)] == [6, 6]


def test_names_classes_and_sizes_decide_in_their_order(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, fp16_name_patterns=["tok_emb"], int6_tensor_classes=["mlp"])
    assert rule(spec, "skip_weights", 20, 20).quantizer is None
    assert rule(spec, "tok_emb.weight", 2000, 20).name == "float16"
    assert rule(spec, FC.format(0), 10, 10).name == "rest"
    assert rule(spec, FC.format(0), 10, 11).name == "blocks"
    assert bits(spec, PROJ.format(0), 20, 20) == 8
    assert bits(spec, "bigram.proj.weight", 20, 20) == 8
    assert rule(spec, "bigram.bias", 200).name == "vectors"


@pytest.mark.parametrize("damping", [0.01, 0.3])
def test_without_data_refinements_are_searched(tmp_path: Path, damping: float) -> None:
    spec = spec_of(tmp_path, with_data=False, gptq_refine_steps=2, gptq_damp_percent=damping)
    assert [tuple(tried.values()) for tried in spec.search.combinations()] == [
        (damping, 2),
        (damping, 4),
        (damping / 2, 2),
        (damping / 2, 4),
    ]
    assert not spec.needs_data


def test_row_clipping_has_no_search(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, export_quantizer="rowclip_int6", int6_clip_percentiles=[0.5])
    assert spec.search.combinations() == [{}]
    assert bits(spec, FC.format(0), 20, 20) == 6
    steps = rule(spec, FC.format(0), 20, 20).steps
    assert steps is not None
    assert steps.config() == {"floor": 1.0, "rounded": False, "percentiles": [0.5]}


def test_blocks_are_halved_but_not_below_32(tmp_path: Path) -> None:
    assert spec_of(tmp_path, gptq_block_size=48).search.block == (48, 32)
    assert spec_of(tmp_path, gptq_block_size=16).search.block == (16, 32)
