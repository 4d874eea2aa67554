"""What PR 576's export makes of a model and of single matrices, and our recipe of the same."""

from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from artpack.calibrate import collect
from artpack.quantize.gptq import Gptq
from artpack.quantize.prune import prune_smallest
from artpack.quantize.rounding import round_with_data
from artpack.quantize.steps import FlooredPercentile, RowGrid, RowPercentiles, TensorPercentile
from artpack.recipes import load_recipe
from tests.golden.checks.calibration import read_windows
from tests.golden.checks.case import Case, Entries
from tests.golden.checks.export import Array, Export, Tally, fp32_sha256
from tests.golden.checks.models import load_model
from tests.golden.checks.report import Report

TABLES = FlooredPercentile(99.99984, rounded=False)
VECTORS = FlooredPercentile(99.99984, floor=1e-30, rounded=False)
MATRICES = TensorPercentile()
"""How the system rounds what it has no Hessian for; its recipe never comes to that."""


def check_case(case: Case, report: Report) -> None:
    """Check the export of a whole model, and GPTQ of single matrices."""
    facts, stored = case.entries("quant.json"), case.entries("quant.npz")
    state = load_file(case.folder / "state_dict.safetensors")
    windows = read_windows(case)
    sums = collect(load_model(case), windows, fisher=False)
    hessians = dict(sums.mean_hessians(windows.size))
    export = Export(state, "pr576", (), hessians)
    for kind in ("gptq", "naive"):
        _check_export(case, kind, export, report)
    for name in facts.take("dequantised_examples"):
        key = f"{name}__deq_f32_first64rows"
        report.exact_arrays(
            f"{case.label} quant.npz {key}", export.back(name)[:64], stored.take(key)
        )
    _check_pruning(case, export, report)
    for name, fact in facts.take("gptq_standalone").items():
        _check_gptq(case, name, fact["args"], stored, report)


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
            weight = prune_smallest(export.weights[name], 0.02).float()
            grid = MATRICES.grid(weight, radius=15)
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
    rules = {rule.name: rule for rule in load_recipe("pr576").rules}
    report.exact(f"{case.label} prune_pct", rules["tables"].prune, fact["prune_pct"])
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
    tally = Tally(f"{case.label} quant_extra_out.npz", report)
    for name in given:
        weight = given.take(name)
        if f"{name}.q" not in stored:
            _check_kept(tally.label, name, weight, stored.take(name), report)
            continue
        rule = spec.rule_for(name, weight.shape)
        assert rule is not None
        if weight.ndim == 1:
            _check_vector(name, weight, stored, tally)
            continue
        steps = MATRICES if rule.needs_data else TABLES
        radius = 15 if rule.needs_data else 127
        grid = steps.grid(torch.from_numpy(weight), radius=radius)
        _compare(tally, name, grid, stored.take(f"{name}.q"), stored.take(f"{name}.scale"))
    tally.settle()


def _check_vector(name: str, weight: Array, stored: Entries, tally: Tally) -> None:
    """Compare a large vector: int5 over its whole range in the blocks, int8 elsewhere."""
    row = torch.from_numpy(weight).reshape(1, -1)
    if ".mlp." in name or ".attn." in name:
        grid = FlooredPercentile(100.0, floor=1e-30).grid(row, radius=15)
    else:
        grid = VECTORS.grid(row, radius=127)
    _compare(tally, name, grid, stored.take(f"{name}.q"), stored.take(f"{name}.scale"))


def _check_kept(label: str, name: str, weight: Array, want: Array, report: Report) -> None:
    spec = load_recipe("pr576")
    if np.issubdtype(weight.dtype, np.floating):
        rule = spec.rule_for(name, weight.shape)
        assert rule is not None
        if rule.quantizer is not None:
            quantizer = rule.quantizer
            back = quantizer.dequantize(quantizer.quantize(torch.from_numpy(weight)))
            report.exact_arrays(f"{label} {name}", back.numpy(), want.astype(np.float32))
            return
    report.exact_arrays(f"{label} {name}", weight, want)
