"""PR 826's settings of its export, written as a recipe."""

import json
import re
from collections.abc import Mapping
from typing import Any

BITS = {"full_gptq_int5": 5, "full_gptq_int6": 6, "rowclip_int6": 6}
CLASSES = {"attention": "attn", "mlp": "mlp"}
GIVEN = 'quantizer = {{ id = "row-int", bits = {}, clip = "given" }}'


def recipe_of(export: Mapping[str, Any], *, kept: int, layers: int, with_data: bool) -> str:
    """
    Write the settings of an export as a recipe.

    Args:
        export: The settings, by the names of the system's config.
        kept: Tensors up to this size stay floats.
        layers: Of the model.
        with_data: There are Hessians.

    Returns:
        TOML.

    """
    large = f"min_weights = {kept + 1}"
    rules = [
        _rule("float32", _any_of(export["fp32_name_patterns"]), 'quantizer = "keep"'),
        _rule("float16", _any_of(export["fp16_name_patterns"]), 'quantizer = "fp16"'),
    ]
    inside = "|".join(CLASSES[name] for name in export["int6_tensor_classes"] if name in CLASSES)
    kind = export["export_quantizer"]
    last = range(layers - export["gptq_int6_last_n"], layers) if kind == "full_gptq_int5" else ()
    for name, blocks, bits in (
        ("last_blocks", "|".join(map(str, last)), 6),
        ("blocks", r"\d+", BITS[kind]),
    ):
        match = rf"^upper_blocks\.({blocks})\..*\.?({inside})\." if blocks and inside else ""
        lines = _steps(export, with_data=with_data)
        rules.append(_rule(name, match, "min_dims = 2", large, GIVEN.format(bits), *lines))
    percentile = f"percentile = {export['int8_clip_percentile']}"
    steps = f'steps = {{ id = "floored-percentile", {percentile}%s }}'
    rules += [
        _rule("tables", ".", "min_dims = 2", large, GIVEN.format(8), steps % ""),
        _rule("vectors", ".", large, GIVEN.format(8), steps % ", floor = 1e-30"),
        _rule("rest", ".", 'quantizer = "fp16"'),
        _search(export, with_data=with_data),
    ]
    return "\n".join(rules)


def _any_of(patterns: list[str]) -> str:
    return "|".join(map(re.escape, patterns))


def _rule(name: str, match: str, *lines: str) -> str:
    """Return one rule, nothing for one that would match nothing."""
    return "\n".join(
        [f"[rules.{name}]", f"match = {json.dumps(match)}", *lines, ""] if match else []
    )


def _steps(export: Mapping[str, Any], *, with_data: bool) -> list[str]:
    if export["export_quantizer"] == "rowclip_int6":
        shares = export["int6_clip_percentiles"]
        return [f'steps = {{ id = "tensor-percentile", rounded = false, percentiles = {shares} }}']
    shares, damping = export["gptq_scale_percentiles"], export["gptq_damp_percent"]
    refinements = export["gptq_refine_steps"]
    if not with_data:
        options = f"refinements = {refinements}, damping = {damping}, percentiles = {shares}"
        return [f'steps = {{ id = "refined", {options} }}']
    options = f"damping = {damping}, block = {export['gptq_block_size']}"
    options += f', precision = "fp32", refinements = {refinements}'
    return [
        f'steps = {{ id = "row-percentiles", percentiles = {shares} }}',
        f'rounding = {{ id = "gptq", {options} }}',
    ]


def _search(export: Mapping[str, Any], *, with_data: bool) -> str:
    if export["export_quantizer"] == "rowclip_int6":
        return ""
    damping, block = export["gptq_damp_percent"], export["gptq_block_size"]
    refinements = export["gptq_refine_steps"]
    second = (
        f"block = [{block}, {max(32, block // 2)}]"
        if with_data
        else f"refinements = [{refinements}, {refinements + 2}]"
    )
    return f"[search]\ndamping = [{damping}, {damping / 2}]\n{second}\n"
