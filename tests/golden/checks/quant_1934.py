"""What PR 1934's export makes of a model and of single matrices, and our recipe of the same."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from artpack.coding.layouts import SimilarRows
from artpack.coding.layouts.rare.permutation import unpack_permutation
from artpack.quantize import RowInt
from artpack.quantize.grids.factors import GroupFactors, RowFactors
from artpack.quantize.grids.low_rank import LowRank, principal_factors
from artpack.quantize.parts import join_bytes, split_bytes
from artpack.quantize.rounding.clips import PercentileClip
from artpack.stages.symbols import Quantized, Symbols
from tests.golden.checks.case import Case, Entries
from tests.golden.checks.export import Export, Tally, check_hessian, fp32_sha256, read_hessians
from tests.golden.checks.report import Report

GATE = 'gates.quantizer={id="row-int",bits=8,clip={id="percentile",percentile=100.0}}'
SIDES = {"left": "A", "right": "B"}
PRODUCT = 5e-3
"""Relative difference of a correction's product that another SVD may cause, a few codes' worth."""


def check_case(case: Case, report: Report) -> None:
    """Check the export of a whole model."""
    state = load_file(case.folder / "state_dict.safetensors")
    _check(case, state, case.config["hyperparameters"], report)


def check_extra(case: Case, report: Report) -> None:
    """Check matrices that come without a model."""
    with np.load(case.path("weights.npz")) as arrays:
        state = {name: torch.from_numpy(weight).float() for name, weight in arrays.items()}
    asked = case.entries("quant.json").take("env_overrides")
    _check(case, state, {key.lower(): value for key, value in asked.items()}, report)


def _overrides(asked: Mapping[str, Any]) -> list[str]:
    """Return what a run of the system asked for, as changes to the recipe."""
    sigmas = {"embedding": "embed", "mlp": "mlp", "attention": "attn", "matrices": "matrix"}
    changed = [
        f"{rule}.quantizer.clip.k={float(asked[f'{key}_clip_sigmas'])}"
        for rule, key in sigmas.items()
    ]
    bits = {rule: asked.get("matrix_bits", 6) for rule in ("mlp", "attention", "matrices")}
    bits["embedding"] = asked["embed_bits"]
    changed += [f"{rule}.quantizer.bits={value}" for rule, value in bits.items()]
    changed += _corrections(asked)
    if bool(int(asked["gated_attn_quant_gate"])):
        changed.append(GATE)
    return changed


def _corrections(asked: Mapping[str, Any]) -> list[str]:
    """Return what was asked of the low-rank corrections."""
    top = int(asked["lqer_top_k"]) if int(asked.get("lqer_enabled", 1)) else 0
    ragged = f'{{id="row-factors", bits={asked["lqer_factor_bits"]}}}'
    grouped = f'{{id="group-factors", group={asked["lqer_asym_group"]}}}'
    asymmetric = int(asked.get("lqer_asym_enabled", 1))
    return [
        f"correction.top={max(top, 0)}",
        f"correction.rank={asked['lqer_rank']}",
        f"correction.factors={grouped if asymmetric else ragged}",
        f"correction.ragged={ragged}",
    ]


def _check(case: Case, state: dict[str, Tensor], asked: Mapping[str, Any], report: Report) -> None:
    facts, stored = case.entries("quant.json"), case.entries("quant.npz")
    hessians = read_hessians(case.entries("hessians.npz"))
    for name, fact in facts.take("hessians").items():
        what = f"{case.label} hessian of {name}"
        check_hessian(what, hessians[name], fact, report)
    export = Export(state, "pr1934", _overrides(asked), hessians)
    tally = Tally(f"{case.label} quant.npz", report)
    tensors = facts.take("tensors")
    report.exact(f"{case.label} quant.json names", sorted(export.tensors), sorted(tensors))
    for name, fact in tensors.items():
        what = f"{case.label} {name}"
        if name in stored:
            report.exact_arrays(what, export.fp16(name), stored.take(name))
        else:
            codes, scales = (".gq", ".gs") if f"{name}.gq" in stored else (".q", ".scale")
            tally.codes(name, export.codes(name), stored.take(name + codes))
            tally.scales(name, export.scales(name), stored.take(name + scales))
        plain = fact.get("dequant_sha256_fp32_without_lqer", fact["dequant_sha256_fp32"])
        report.exact(f"{what} weights", fp32_sha256(export.inner_back(name)), plain)
        export.compare_facts(what, name, fact, report)
    tally.settle()
    _check_ranking(case, export, facts, report)
    _check_corrections(case, export, tensors, report)
    for name in ("meta", "result_tensors", "notes", "hessian_file", "num_layers"):
        if name in facts:
            facts.take(name)


def _check_ranking(case: Case, export: Export, facts: Entries, report: Report) -> None:
    if "lqer_ranking_by_error_norm" not in facts:
        return
    published = dict(facts.take("lqer_ranking_by_error_norm") or {})
    norms = {
        name: (export.weights[name].double() - export.inner_back(name).double()).norm().item()
        for name in published
    }
    ranking = sorted(norms, key=lambda name: -norms[name])
    report.exact(f"{case.label} order of errors", ranking, list(published))
    for name, norm in published.items():
        report.close(f"{case.label} error of {name}", norms[name], norm, 1e-5 * norm)


def _check_corrections(
    case: Case, export: Export, tensors: Mapping[str, Any], report: Report
) -> None:
    wanted = {name: fact for name, fact in tensors.items() if "lqer" in fact["meta"]}
    ours = [name for name, t in export.tensors.items() if isinstance(t.quantizer, LowRank)]
    report.exact(f"{case.label} corrected tensors", sorted(ours), sorted(wanted))
    held = "quant_lqer_dequant.npz" in case
    weights = case.entries("quant_lqer_dequant.npz") if held else Entries({})
    for name, fact in wanted.items():
        what = f"{case.label} {name}"
        stage, parts = _published_parts(case.entries("quant.npz"), name, export)
        shape = tuple(export.weights[name].shape)
        inner = export.tensors[name].quantized.parts
        back = stage.dequantize(Quantized(shape, {**inner, **parts}))
        report.exact_arrays(f"{what} corrected", back.numpy(), weights.take(name))
        report.exact(f"{what} corrected, hash", fp32_sha256(back), fact["dequant_sha256_fp32"])
        error = (export.weights[name].double() - back.double()).square().mean()
        report.relative(f"{what} corrected, dequant_mse", error, fact["dequant_mse"], 1e-3)
        key = "dequant_sha256_as_bf16_template_then_fp32"
        if key in fact:
            report.exact(f"{what} corrected, bf16", fp32_sha256(back.bfloat16()), fact[key])
        error = export.weights[name].float() - export.inner_back(name)
        _compare_factors(what, stage, error, parts, report)


def _published_parts(
    stored: Entries, name: str, export: Export
) -> tuple[LowRank, dict[str, Symbols]]:
    """Return a published correction as parts of our own stage."""
    ours = export.tensors[name].quantizer
    assert isinstance(ours, LowRank)
    suffix = "_a" if f"{name}.lqA_a" in stored else ""
    factors = ours.factors
    assert isinstance(factors, GroupFactors) == bool(suffix), name
    lowest = {"left": -2, "right": -8}
    if isinstance(factors, RowFactors):
        lowest = dict.fromkeys(SIDES, -factors.radius)
    parts: dict[str, Symbols] = {}
    for side, letter in SIDES.items():
        codes = stored.take(f"{name}.lq{letter}{suffix}")
        scales = stored.take(f"{name}.lq{letter}s{suffix}")
        parts[side] = (codes - lowest[side]).astype(np.uint8)
        parts |= split_bytes(f"{side}_scales", torch.from_numpy(scales))
    return ours, parts


def _compare_factors(
    what: str, stage: LowRank, error: Tensor, want: dict[str, Symbols], report: Report
) -> None:
    """Compare our factors, once every pair of vectors has the sign that the original's has."""
    left, right = principal_factors(error, want["left"].shape[1])
    published_left, published_right = map(torch.from_numpy, stage.factors.values(want))
    signs = torch.where((left * published_left).sum(dim=0) < 0, -1.0, 1.0)
    ours = stage.factors.quantize(left * signs, right * signs.unsqueeze(1))
    differ = {part: int((ours[part] != want[part]).sum()) for part in want}
    our_left, our_right = map(torch.from_numpy, stage.factors.values(ours))
    product = published_left @ published_right
    distance = ((our_left @ our_right - product).norm() / product.norm()).item()
    report.line(
        f"{what} product of the factors",
        f"relative difference {distance:.1e}, tolerance {PRODUCT};"
        f" {sum(differ.values())} of {sum(p.size for p in want.values()):,} symbols differ",
        passed=distance <= PRODUCT,
    )


def check_units(case: Case, report: Report) -> None:
    """Check the smallest parts of the export."""
    units = case.entries("units.npz")
    matrices = [torch.from_numpy(units.take(name)) for name in ("A", "B")]
    for prefix, stage, lowest in (
        ("asym64", GroupFactors(64), (-2, -8)),
        ("sym4", RowFactors(4), (-7, -7)),
        ("sym3", RowFactors(3), (-3, -3)),
    ):
        parts = stage.quantize(*matrices)
        for (side, letter), low in zip(SIDES.items(), lowest, strict=True):
            key = f"{prefix}_q{letter}"
            codes = parts[side].astype(int) + low
            report.exact_arrays(f"{case.label} units.npz {key}", codes, units.take(key))
            key = f"{prefix}_s{letter}"
            scales = join_bytes(f"{side}_scales", parts, torch.float16).numpy()
            want = units.take(key).reshape(-1)
            report.exact_arrays(f"{case.label} units.npz {key}", scales, want)
    _check_gate(case, units, report)
    order = SimilarRows().forward(units.take("simsort_matrix").view(np.uint8) ^ 0x80)[0]
    want = units.take("simsort_order")
    got = unpack_permutation(order, len(want))
    report.exact_arrays(f"{case.label} units.npz simsort_order", got, want)


def _check_gate(case: Case, units: Entries, report: Report) -> None:
    weight = torch.from_numpy(units.take("gate_w"))
    stage = RowInt(8, PercentileClip(100.0))
    quantized = stage.quantize(weight)
    codes = quantized.parts["codes"].astype(int) - stage.radius
    report.exact_arrays(f"{case.label} units.npz gate_q", codes, units.take("gate_q"))
    # The original's scale of a row of zeros is 0; any does, and ours is never 0.
    alive = weight.any(dim=1).numpy()
    scales = stage.stored_steps(quantized).numpy().ravel()[alive]
    report.exact_arrays(f"{case.label} units.npz gate_s", scales, units.take("gate_s")[alive])
