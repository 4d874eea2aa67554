"""What PR 826's export makes of a model and of single matrices, and our recipe of the same."""

import re
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from artpack.quantize import RowInt
from artpack.quantize.prune import rows_with_ones, zero_ones
from artpack.quantize.steps import (
    FlooredPercentile,
    RefinedSteps,
    RowGrid,
    RowPercentiles,
    Steps,
    TensorPercentile,
)
from artpack.stages import Quantizer
from tests.golden.checks.case import Case, Entries
from tests.golden.checks.export import Export, Tally, fp32_sha256, read_hessians
from tests.golden.checks.report import Report

UNITS: dict[str, tuple[Steps, int]] = {
    "int8": (FlooredPercentile(99.99984), 127),
    "int6": (TensorPercentile(rounded=False), 31),
    "gptqstyle5": (RefinedSteps(), 15),
    "gptqstyle6": (RefinedSteps(), 31),
    "rowscales_clip15": (RowPercentiles(), 15),
    "rowscales_clip31": (RowPercentiles(), 31),
}
KEPT = re.compile(r"quant(?:_keepfloat(\d+))?\.npz$")
"""Files of an export, with the size up to which tensors are kept as floats."""
PROSE = (
    "function",
    "export_quantizer",
    "keep_float_max_numel",
    "metadata",
    "gptq_layers",
    "naive_layers",
    "mixed_precision_params",
    "hessian_file",
    "result_tensors",
    "notes",
    "npz_note",
)


def check_case(case: Case, report: Report) -> None:
    """Check the export of a whole model, at both sizes below which it keeps floats."""
    state = load_file(case.folder / "state_dict.safetensors")
    hessians = read_hessians(case.entries("hessians.npz").take_all())
    for name, fact in case.entries("quant.json").take("hessians").items():
        what = f"{case.label} hessian of {name}"
        report.exact(what, fp32_sha256(hessians[f"{name}.weight"]), fact["sha256_fp32"])
    limit = case.entries("quant.json").peek("keep_float_max_numel")
    for file in sorted(name.removesuffix(".npz") for name in case.files if KEPT.match(name)):
        kept = KEPT.match(f"{file}.npz")
        assert kept is not None
        floats = f"min_weights={int(kept[1] or limit) + 1}"
        overrides = [f"{rule}.{floats}" for rule in ("blocks", "tables")]
        _check(case, file, Model(state, hessians, overrides), report)
    if "quant_units.npz" in case:
        _check_units(case, report)


@dataclass(frozen=True, eq=False)
class Model:
    """What an export is made of."""

    state: dict[str, Tensor]
    hessians: dict[str, Tensor]
    overrides: list[str]

    def export(self, *more: str) -> Export:
        """Export the model, with more changes to the recipe."""
        return Export(self.state, "pr826", [*self.overrides, *more], self.hessians)


def _check(case: Case, file: str, model: Model, report: Report) -> None:
    """Compare all tensors; those that are the same in every file are in one of them only."""
    facts, stored = case.entries(f"{file}.json"), case.entries(f"{file}.npz")
    whole, export = case.entries("quant.npz"), model.export()
    label = f"{case.label} {file}"
    tally = Tally(label, report)
    for name, fact in facts.take("tensors").items():
        _check_tensor(name, fact, export, stored if f"{name}.q" in stored else whole, tally)
    tally.settle()
    if file == "quant":
        _check_ones(case, export, report)
    tries, errors = facts.take("grid"), []
    for tried in tries:
        search = f"search={{damping=[{tried['damp']}], block=[{tried['block_size']}]}}"
        again = model.export(search)
        errors.append(sum(again.mean_squared_error(name) for name in again.tensors))
        what = f"{label} damping {tried['damp']}, block {tried['block_size']}: sum of errors"
        report.close(what, errors[-1], tried["mse"], 1e-5 * tried["mse"])
    report.exact(
        f"{label} grid_best_index", errors.index(min(errors)), facts.take("grid_best_index")
    )
    for name in PROSE:
        if name in facts:
            facts.take(name)


def _check_ones(case: Case, export: Export, report: Report) -> None:
    """Zero the codes of one as an export did that was told to be smaller."""
    if "artifact.json" not in case:
        return
    fact = case.entries("artifact.json").peek("forced_selective_pruning")
    names = [name for name, tensor in export.tensors.items() if _is_int5(tensor.quantizer)]
    codes = {f"{name}.q": torch.from_numpy(export.codes(name)) for name in names}
    steps = {f"{name}.q": torch.from_numpy(export.scales(name)) for name in names}
    rows, stats, what = rows_with_ones(codes, steps), fact["stats"], f"{case.label} zeroed ones"
    first = [[row[0], row[1], row[2], row[3]] for row in rows[:50]]
    listed = [[row[0], *row[2:]] for row in fact["candidate_rows_sorted_first_50"]]
    report.exact(f"{what}: first rows", first, listed)
    report.exact(f"{what}: rows", len(rows), stats["candidate_rows"])
    total = sum(ones for *_, ones in rows)
    report.exact(f"{what}: ones", total, stats["total_prunable_values"])
    asked = fact["export_overrides"]
    # The size does not matter: that export stopped at the share of ones that it may zero.
    countdown = count(1 << 40, -1)
    done = zero_ones(
        codes,
        steps,
        lambda: next(countdown),
        limit_bytes=0,
        batch_rows=asked["selective_pruning_chunk_rows"],
        most=asked["selective_pruning_max_fraction"],
    )
    report.exact(f"{what}: rows zeroed", done, stats["pruned_rows"])
    for name, matrix in codes.items():
        found = sha256(matrix.to(torch.int8).numpy().tobytes()).hexdigest()
        report.exact(f"{what}: {name}", found, fact["payload_q_sha256"][name])


def _is_int5(quantizer: Quantizer) -> bool:
    return isinstance(quantizer, RowInt) and quantizer.bits == 5


def _check_tensor(
    name: str,
    fact: dict[str, Any],
    export: Export,
    stored: Entries,
    tally: Tally,
) -> None:
    back, report = export.back(name), tally.report
    if f"{name}.q" in stored and "per_row" in fact["storage"]:
        tally.codes(name, export.codes(name), stored.take(f"{name}.q"))
        tally.scales(name, export.scales(name), stored.take(f"{name}.scale"))
    else:
        report.exact_arrays(f"{tally.label} {name}", back.numpy(), stored.take(name))
    report.exact(f"{tally.label} {name} weights", fp32_sha256(back), fact["dequant_sha256_fp32"])
    key = "dequant_sha256_as_bf16_template_then_fp32"
    if key in fact:
        what = f"{tally.label} {name} weights in bf16"
        report.exact(what, fp32_sha256(back.bfloat16()), fact[key])


def _check_units(case: Case, report: Report) -> None:
    units, facts = case.entries("quant_units.npz"), case.entries("quant_units.json")
    facts.take_all()
    for name in [entry for entry in units if entry.startswith("W") and "_" not in entry]:
        rows = torch.from_numpy(units.take(name))
        for suffix, (steps, radius) in UNITS.items():
            grid = steps.grid(rows, radius=radius)
            _check_unit(f"{name}_{suffix}", grid, case, units, report)
        # A vector is one row without a smallest threshold.
        grid = FlooredPercentile(99.99984, floor=1e-30).grid(rows[:1], radius=127)
        _check_unit(f"{name}row0_int8", grid, case, units, report)


def _check_unit(key: str, grid: RowGrid, case: Case, units: Entries, report: Report) -> None:
    what, scales = f"{case.label} quant_units.npz", grid.stored.numpy().ravel()
    if key in units:
        report.exact_arrays(f"{what} {key}", scales, units.take(key))
        return
    want = np.reshape(units.take(f"{key}_scale"), -1)
    report.exact_arrays(f"{what} {key}_scale", scales, want)
    codes = grid.nearest().numpy()
    want = units.take(f"{key}_q").reshape(codes.shape)
    report.exact_arrays(f"{what} {key}_q", codes, want)
