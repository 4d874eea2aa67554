"""What PR 826's export makes of a model and of single matrices, and our recipe of the same."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from artpack.interop import Container, StoredTensor
from artpack.interop.pr826 import torch_lzma
from artpack.models.published import from_published_config
from artpack.quantize.rounding.prune import rows_with_ones, zero_ones
from artpack.quantize.rounding.steps import (
    FlooredPercentile,
    RefinedSteps,
    RowGrid,
    RowPercentiles,
    Steps,
    TensorPercentile,
)
from tests.golden.checks.case import Case, Entries
from tests.golden.checks.export import Export, Tally, check_hessian, fp32_sha256, read_hessians
from tests.golden.checks.recipe_826 import recipe_of
from tests.golden.checks.report import Report


def units_of(args: Mapping[str, Any]) -> dict[str, tuple[Steps, int]]:
    """Return steps and outermost code of each row quantizer, by some settings of the original."""
    shares = tuple(args["percentiles"])
    refined = RefinedSteps(1.0, args["refine_steps"], args["damp_percent"], shares)
    searched = RowPercentiles(percentiles=shares)
    return {
        "int8": (FlooredPercentile(args["int8_clip_percentile"]), 127),
        "int6": (TensorPercentile(rounded=False, percentiles=shares), 31),
        "gptqstyle5": (refined, 15),
        "gptqstyle6": (refined, 31),
        "rowscales_clip15": (searched, 15),
        "rowscales_clip31": (searched, 31),
    }


FORMS = {"lzma": "torch-lzma", "zstd": "payload-zstd"}
"""Any other compressor is zlib."""
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
    hessians = read_hessians(case.entries("hessians.npz"))
    for name, fact in case.entries("quant.json").take("hessians").items():
        what = f"{case.label} hessian of {name}"
        check_hessian(what, hessians[f"{name}.weight"], fact, report)
    limit = case.entries("quant.json").peek("keep_float_max_numel")
    for file in sorted(name.removesuffix(".npz") for name in case.files if KEPT.match(name)):
        kept = KEPT.match(f"{file}.npz")
        assert kept is not None
        _check(case, file, Model(case, state, hessians, int(kept[1] or limit)), report)


@dataclass(frozen=True, eq=False)
class Model:
    """What an export is made of."""

    case: Case
    state: dict[str, Tensor]
    hessians: dict[str, Tensor]
    kept: int

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the settings of the case's exports."""
        found: Mapping[str, Any] = self.case.config["experiment_config"]["export"]
        return found

    def export(self, *more: str) -> Export:
        """Export the model, with more changes to the recipe."""
        layers = from_published_config(self.case.config).num_layers
        with NamedTemporaryFile("w", suffix=".toml") as recipe:
            data = bool(self.hessians)
            recipe.write(recipe_of(self.settings, kept=self.kept, layers=layers, with_data=data))
            recipe.flush()
            return Export(self.state, recipe.name, more, self.hessians)

    def search(self, tried: Mapping[str, Any]) -> str:
        """Return the change of the recipe that tries one combination only."""
        second = f"block=[{tried['block_size']}]" if self.hessians else ""
        second = second or f"refinements=[{tried['refine']}]"
        return f"search={{damping=[{tried['damp']}], {second}}}"


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
    tries, errors = facts.take("grid") if "grid" in facts else [], []
    for tried in tries:
        again = model.export(model.search(tried))
        errors.append(sum(again.mean_squared_error(name) for name in again.tensors))
        what = f"{label} damping {tried['damp']}, block {tried['block_size']}: sum of errors"
        report.close(what, errors[-1], tried["mse"], 1e-5 * tried["mse"])
    if errors:
        best = facts.take("grid_best_index")
        report.exact(f"{label} grid_best_index", errors.index(min(errors)), best)
    for name in PROSE:
        if name in facts:
            facts.take(name)


def _check_ones(case: Case, export: Export, report: Report) -> None:
    """Zero the codes of one as an export did that was told to be smaller."""
    if "artifact.json" not in case:
        return
    facts = case.entries("artifact.json")
    if "forced_selective_pruning" not in facts:
        return
    fact = facts.peek("forced_selective_pruning")
    settings = case.config["experiment_config"]["export"] | dict(fact["export_overrides"])
    pruned = Pruned(case, export, settings)
    rows, stats = rows_with_ones(pruned.codes, pruned.steps), fact["stats"]
    what = f"{case.label} zeroed ones"
    first = [[*row] for row in rows[:50]]
    listed = [[row[0], *row[2:]] for row in fact["candidate_rows_sorted_first_50"]]
    report.exact(f"{what}: first rows", first, listed)
    report.exact(f"{what}: rows", len(rows), stats["candidate_rows"])
    total = sum(row.ones for row in rows)
    report.exact(f"{what}: ones", total, stats["total_prunable_values"])
    before = pruned.size()
    report.exact(f"{what}: size before", before, stats["initial_projected_artifact_bytes"])
    done = zero_ones(
        pruned.codes,
        pruned.steps,
        pruned.size,
        limit_bytes=settings["submission_cap_bytes"] - settings["projected_size_margin_bytes"],
        batch_rows=settings["selective_pruning_chunk_rows"],
        most=settings["selective_pruning_max_fraction"],
    )
    report.exact(f"{what}: rows zeroed", done, stats["pruned_rows"])
    gone = total - sum(row.ones for row in rows_with_ones(pruned.codes, pruned.steps))
    report.exact(f"{what}: ones zeroed", gone, stats["pruned_values"])
    report.exact(f"{what}: size", pruned.size(), stats["final_projected_artifact_bytes"])
    for name, matrix in pruned.codes.items():
        found = sha256(matrix.to(torch.int8).numpy().tobytes()).hexdigest()
        report.exact(f"{what}: {name}", found, fact["payload_q_sha256"][name])


class Pruned:
    """
    An export whose codes of one are being zeroed.

    Args:
        case: Where it says how its tensors are stored.
        export: Ours of the same.
        settings: Which kinds of storage take part, and how the file is compressed.
    """

    def __init__(self, case: Case, export: Export, settings: Mapping[str, Any]) -> None:
        self._export, kinds = export, settings["selective_pruning_storage"]
        stored = {
            name: f["storage"] for name, f in case.entries("quant.json").peek("tensors").items()
        }
        names = [name for name, kind in stored.items() if kind in kinds]
        self.codes = {f"{name}.q": torch.from_numpy(export.codes(name)) for name in names}
        self.steps = {f"{name}.q": torch.from_numpy(export.scales(name)) for name in names}
        self._form = FORMS.get(settings["compressor"], "payload-zlib")
        parts = {part for name in names for part in torch_lzma.PARTS if re.match(part, name)}
        self._touched = [n for n in export.tensors if any(re.match(part, n) for part in parts)]
        self._fixed = self._bytes([n for n in export.tensors if n not in self._touched])

    def size(self) -> int:
        """Return what the system takes for the size of its file."""
        return self._fixed + self._bytes(self._touched)

    def _bytes(self, names: list[str]) -> int:
        container = Container("torch-lzma", tuple(self._stored(name) for name in names))
        return sum(torch_lzma.part_bytes(container, self._form).values())

    def _stored(self, name: str) -> StoredTensor:
        tensor = self._export.tensors[name]
        quantized = tensor.quantized
        if f"{name}.q" in self.codes:
            symbols = self.codes[f"{name}.q"] + self._export.row_int(name).radius
            codes = {"codes": symbols.to(torch.uint8).numpy()}
            quantized = replace(quantized, parts={**quantized.parts, **codes})
        return StoredTensor(name, "float32", tensor.quantizer, quantized)


def _check_tensor(
    name: str,
    fact: dict[str, Any],
    export: Export,
    stored: Entries,
    tally: Tally,
) -> None:
    back, report = export.back(name), tally.report
    if "per_row" in fact["storage"] and f"{name}.q" in stored:
        tally.codes(name, export.codes(name), stored.take(f"{name}.q"))
        tally.scales(name, export.scales(name), stored.take(f"{name}.scale"))
    else:
        report.exact_arrays(f"{tally.label} {name}", back.numpy(), stored.take(name))
    report.exact(f"{tally.label} {name} weights", fp32_sha256(back), fact["dequant_sha256_fp32"])
    export.compare_facts(f"{tally.label} {name}", name, fact, report)
    error = export.mean_squared_error(name)
    report.close(f"{tally.label} {name} mse", error, fact["mse"], 1e-9 + 1e-3 * error)
    key = "dequant_sha256_as_bf16_template_then_fp32"
    if key in fact:
        what = f"{tally.label} {name} weights in bf16"
        report.exact(what, fp32_sha256(back.bfloat16()), fact[key])


def check_units(case: Case, report: Report) -> None:
    """Check the row quantizers on small matrices."""
    units, args = case.entries("quant_units.npz"), case.entries("quant_units.json").peek("args")
    for name in [entry for entry in units if entry.startswith("W") and "_" not in entry]:
        rows = torch.from_numpy(units.take(name))
        for suffix, (steps, radius) in units_of(args).items():
            grid = steps.grid(rows, radius=radius)
            _check_unit(f"{name}_{suffix}", grid, case, units, report)
        # A vector is one row without a smallest threshold.
        percentile = args["int8_clip_percentile"]
        grid = FlooredPercentile(percentile, floor=1e-30).grid(rows[:1], radius=127)
        _check_unit(f"{name}row0_int8", grid, case, units, report)
        for suffix in units_of(args):
            _check_stats(f"{name}_{suffix}", len(rows), case, report)


def _check_stats(key: str, rows: int, case: Case, report: Report) -> None:
    """Compare the settings of a unit, and how many rows took some percentile."""
    facts = case.entries("quant_units.json")
    args, fact = facts.peek("args"), facts.peek("stats")[key]
    settings = {
        "clip_percentile": args["int8_clip_percentile"],
        "damp_percent": args["damp_percent"],
        "refine_steps": args["refine_steps"],
        "quant_bits": int(key[-1]),
    }
    what = f"{case.label} quant_units.json stats {key}"
    for name in settings.keys() & fact.keys():
        report.exact(f"{what} {name}", fact[name], settings[name])
    taken = fact if "rowscales" in key else fact.get("clip_histogram", {})
    if taken:
        report.exact(f"{what} rows", sum(taken.values()), rows)


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
