"""What PR 576's export makes of a model and of single matrices, and our recipe of the same."""

from hashlib import sha256
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from artpack.calibration.collect import CALIBRATION, collect
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.rounding.gptq import Gptq
from artpack.quantize.rounding.prune import prune_smallest
from artpack.quantize.rounding.row_rounding import round_with_data
from artpack.quantize.rounding.steps import RowGrid, RowPercentiles, TensorPercentile
from artpack.recipes import load_recipe
from artpack.recipes.rules import Rule
from artpack.runners.batches import TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from tests.golden.checks.calibration import calibrated_model, read_windows
from tests.golden.checks.case import Case, Entries
from tests.golden.checks.export import Array, Export, Tally, fp32_sha256
from tests.golden.checks.report import Report

PRUNED = ("control_matrices", "blocks", "tables")
"""Rules of the recipe that prune."""


def check_case(case: Case, report: Report) -> None:
    """Check the export of a whole model, and GPTQ of single matrices."""
    facts, stored = case.entries("quant.json"), case.entries("quant.npz")
    if "state_dict.safetensors" in case:
        _check_model(case, report)
    for name, fact in facts.take("gptq_standalone").items():
        _check_gptq(case, name, fact["args"], stored, report)


def _check_model(case: Case, report: Report) -> None:
    facts, stored = case.entries("quant.json"), case.entries("quant.npz")
    state = load_file(case.folder / "state_dict.safetensors")
    windows = read_windows(case)
    model, batches = calibrated_model(case), TokenBatches(windows, CALIBRATION.batch_tokens)
    sums = collect(GptRunner(model), batches, places(model), fisher=False)
    hessians = dict(sums.mean_hessians(windows.size))
    share = facts.peek("prune")["prune_pct"]
    export = Export(state, "pr576", [f"{rule}.prune={share}" for rule in PRUNED], hessians)
    for kind in ("gptq", "naive"):
        _check_export(case, kind, export, report)
    for name in facts.take("dequantised_examples"):
        key = f"{name}__deq_f32_first64rows"
        report.exact_arrays(
            f"{case.label} quant.npz {key}", export.back(name)[:64], stored.take(key)
        )
    _check_pruning(case, export, report)


def _check_export(case: Case, kind: str, export: Export, report: Report) -> None:
    """Compare tensors; without Hessians the system quantizes matrices by another rule."""
    fact, stored = case.entries("quant.json").take(kind), case.entries("quant.npz")
    tally = Tally(f"{case.label} quant.npz {kind}", report)
    report.exact(f"{tally.label}: names", sorted(fact["meta"]), sorted(export.tensors))
    for name, how in fact["meta"].items():
        plain, codes = f"{kind}__{name}__passthrough_f16", f"{kind}__{name}.q_i8"
        scales = f"{kind}__{name}.scale_f16"
        if plain in stored:
            report.exact_arrays(f"{tally.label} {name}", export.fp16(name), stored.take(plain))
        elif codes in stored and how["type"] == "int6" and kind == "naive":
            share = case.entries("quant.json").peek("prune")["prune_pct"]
            weight = prune_smallest(export.weights[name], share).float()
            grid = TensorPercentile().grid(weight, radius=15)
            _compare(tally, name, grid, stored.take(codes), stored.take(scales))
        elif codes in stored:
            tally.codes(name, export.codes(name), stored.take(codes))
            tally.scales(name, export.scales(name), stored.take(scales))
    tally.settle()


def _compare(tally: Tally, name: str, grid: RowGrid, codes: Array, scales: Array) -> None:
    tally.codes(name, grid.nearest().numpy().reshape(codes.shape), codes)
    scales = np.reshape(scales, -1)
    ours = grid.stored if scales.dtype == np.float16 else grid.steps
    tally.scales(name, ours.numpy(), scales)


def _check_pruning(case: Case, export: Export, report: Report) -> None:
    fact = case.entries("quant.json").take("prune")
    for name, outcome in fact["tensors"].items():
        weight = export.weights[name]
        pruned = prune_smallest(weight, fact["prune_pct"])
        what = f"{case.label} {name} pruned"
        zeros = int((pruned == 0).sum()), int(((pruned == 0) & (weight != 0)).sum())
        report.exact(f"{what}, zeros", zeros, (outcome["zeros_after"], outcome["zeroed"]))
        report.exact(what, fp32_sha256(pruned), outcome["sha256_f32_after"])


def _check_gptq(
    case: Case, name: str, asked: dict[str, Any], stored: Entries, report: Report
) -> None:
    weight, hessian = (torch.from_numpy(stored.take(f"{name}__{part}")) for part in "WH")
    grid = RowPercentiles(rounded=False).grid(weight, radius=asked["clip_range"])
    options = Gptq(
        order="ascending",
        damping=asked["percdamp"],
        block=asked["block_size"],
        form="inverse",
        precision="fp32",
    )
    grid, codes, _ = round_with_data(grid, hessian, options)
    what = f"{case.label} quant.npz {name}"
    report.exact_arrays(f"{what} codes", codes, stored.take(f"{name}__codes_i8"))
    report.exact_arrays(f"{what} scales", grid.stored.ravel(), stored.take(f"{name}__scale_f16"))
    key = f"{name}__row_scale_f32_used_internally"
    report.exact_arrays(f"{what} fp32 scales", grid.steps.ravel(), stored.take(key))


def check_extra(case: Case, report: Report) -> None:
    """Check tensors that come without a model or Hessians: every rule for those."""
    given, stored = case.entries("quant_extra_in.npz"), case.entries("quant_extra_out.npz")
    spec = load_recipe("pr576")
    facts = case.entries("quant.json").take("quant_extra") if "quant.json" in case else {}
    tally = Tally(f"{case.label} quant_extra_out.npz", report)
    for name in given:
        weight = given.take(name)
        rule = spec.rule_for(name, weight.shape)
        assert rule is not None
        coded = f"{name}.q" in stored
        check = _check_coded if coded else _check_kept
        back = check(name, weight, rule, stored, tally)
        what = f"{case.label} quant.json quant_extra {name}"
        if facts:
            report.exact(f"{what} meta", _meta(weight, rule), facts["meta"][name])
            found = fp32_sha256(back) if back.is_floating_point() else _sha256(back)
            report.exact(f"{what} dequantized", found, facts["sha256_dequant"][name])
    tally.settle()


def _sha256(tensor: Tensor) -> str:
    return sha256(tensor.numpy().tobytes()).hexdigest()


def _meta(weight: Array, rule: Rule) -> Any:
    """Return what the container says of a tensor under a rule."""
    floating = np.issubdtype(weight.dtype, np.floating)
    if floating and isinstance(rule.quantizer, RowInt):
        return {"type": "int8" if rule.quantizer.bits == 8 else "int6"}
    return "passthrough_ctrl" if floating and rule.quantizer is None else "passthrough"


def _check_coded(name: str, weight: Array, rule: Rule, stored: Entries, tally: Tally) -> Tensor:
    """Compare codes and scales; a tensor that is no matrix is one row."""
    rows = torch.from_numpy(weight)
    rows = rows if rows.ndim == 2 else rows.reshape(1, -1)
    assert isinstance(rule.quantizer, RowInt)
    assert rule.steps is not None
    grid = rule.steps.grid(rows, radius=rule.quantizer.radius)
    if isinstance(rule.rounding, Gptq):
        grid, _, _ = round_with_data(grid, None, rule.rounding, rule.steps)
    _compare(tally, name, grid, stored.take(f"{name}.q"), scales := stored.take(f"{name}.scale"))
    # The reader multiplies with what is stored, be it fp16 or, of a vector, fp32.
    codes = grid.nearest().to(torch.int8).float()  # -0.0 is no code
    return (codes * torch.from_numpy(scales).float().reshape(-1, 1)).reshape(weight.shape)


def _check_kept(name: str, weight: Array, rule: Rule, stored: Entries, tally: Tally) -> Tensor:
    want, back = stored.take(name), torch.from_numpy(weight)
    if rule.quantizer is not None and back.is_floating_point():
        back = rule.quantizer.dequantize(rule.quantizer.quantize(back))
    tally.report.exact_arrays(
        f"{tally.label} {name}", back.numpy(), want.astype(back.numpy().dtype)
    )
    return back
