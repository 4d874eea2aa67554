"""What PR 2086's and PR 1123's exports make of a model, without data, and our recipes."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from artpack.coding.symbol_coders import Base5, Planes
from artpack.errors import CorruptError
from artpack.interop.pr1123.rans_kernel import frequencies
from artpack.quantize import Fp8, GroupLevels, RowAsymInt, RowPentanary
from artpack.quantize.grids.asym_int import CLIP_SHARES
from artpack.quantize.parts import join_bytes
from artpack.quantize.scales import LogDeltaScales
from tests.golden.checks.case import Case, Entries
from tests.golden.checks.export import Array, Export, Tally
from tests.golden.checks.report import Report

QUINARY = 'matrices.quantizer={{id="group-absmean", radius=2, group={}, scales={}}}'
FP16_TINY = 2.0**-24
SCALES_2086 = ("scale_dequant_f16", "scale_f16")


def check_2086(case: Case, report: Report) -> None:
    """Check the export of a PR 2086 model."""
    facts, stored = case.entries("quant.json"), case.entries("quant.npz")
    tensors = facts.take("tensors")
    export = Export(_state_2086(case), "pr2086", _changes_2086(tensors))
    report.exact(f"{case.label} quant.json names", sorted(export.tensors), sorted(tensors))
    for name, fact in tensors.items():
        _check_2086_tensor(case, name, fact, export, report)
    _check_scales(case, export, report)
    for name in facts.take("dequantised_examples"):
        back = export.back(name)
        for key, got in (("deq_f32", back), ("deq_default_bf16_as_f32", back.bfloat16().float())):
            if f"{name}__{key}" in stored:
                what = f"{case.label} quant.npz {name}__{key}"
                report.exact_arrays(what, got, stored.take(f"{name}__{key}"))
    packed = facts.take("pack_example")
    symbols = (np.array(packed["symbols"]) + 2).astype(np.uint8)
    what = f"{case.label} quant.json pack_example"
    coded = Base5().encode(symbols, alphabet=5).hex()
    report.exact(f"{what} base 5", coded, packed["base5_hex"])
    coded = Planes().encode(symbols, alphabet=5).hex()
    report.exact(f"{what} planes", coded, packed["bitmask_hex"])
    if "n_quins" in packed:
        report.exact(f"{what} n_quins", len(symbols), packed["n_quins"])
    _check_2086_sizes(case, tensors, export, facts.take("stats"), report)
    facts.take("function")


def _state_2086(case: Case) -> dict[str, Tensor]:
    """Return the tensors that are exported: a head that is tied is not."""
    state = load_file(case.folder / "state_dict.safetensors")
    if case.config["constructor_args"]["tie_embeddings"]:
        state.pop("lm_head.weight", None)
    return state


def _changes_2086(tensors: dict[str, Any]) -> list[str]:
    """Return the changes to the recipe: groups and how their scales are stored."""
    quinary = [fact for fact in tensors.values() if fact["type"] == "quinary"]
    changes = {
        QUINARY.format(fact["group_size"], _scales_2086(fact.get("scale_bits", 0)))
        for fact in quinary
    }
    return [*changes, "matrices.zero_scales=true"]


def _scales_2086(bits: int) -> str:
    return f'{{id="log-delta", bits={bits}}}' if bits in (4, 5, 8) else '"fp16"'


def _check_2086_tensor(
    case: Case, name: str, fact: dict[str, Any], export: Export, report: Report
) -> None:
    stored, what = case.entries("quant.npz"), f"{case.label} quant.npz {name}"
    tensor = export.tensors[name]
    parts = tensor.quantized.parts
    export.compare_facts(what, name, fact, report)
    if fact["type"] == "fp16":
        report.exact_arrays(what, export.fp16(name), stored.take(f"{name}__f16"))
        return
    if fact["type"] == "fp8":
        report.exact(f"{what} grid", tensor.quantizer, Fp8())
        report.exact_arrays(what, parts["codes"], stored.take(f"{name}__fp8_e4m3fn_bits_u8"))
        return
    grid = tensor.quantizer
    assert isinstance(grid, GroupLevels)
    padding = ((0, 0), (0, -parts["codes"].shape[1] % grid.group))
    codes = np.pad(parts["codes"], padding, constant_values=2)
    want = stored.take(f"{name}__codes_i8")
    report.exact_arrays(f"{what} codes", codes.astype(int)[:, : want.shape[1]] - 2, want)
    if isinstance(grid.scales, LogDeltaScales):
        deltas = _deltas(parts, grid.scales.bits)
        for key in [key for key in stored if key.startswith(f"{name}__scale_delta")]:
            report.exact_arrays(f"{what} {key}", deltas, stored.take(key).ravel())
        anchor_step = join_bytes("anchor_step", parts, torch.float16).tolist()
        wanted = [fact["scale_anchor_fp16"], fact["scale_step_fp16"]]
        report.exact(f"{what} anchor and step", anchor_step, wanted)
    shape = len(parts["codes"]), -(-parts["codes"].shape[1] // grid.group)
    scales = grid.scales.values(parts, shape=shape).ravel()
    for key in SCALES_2086:
        if f"{name}__{key}" in stored:
            want = stored.take(f"{name}__{key}").ravel()
            # Where the original has nothing, a scale of ours is the smallest there is.
            got = np.where((want == 0) & (scales <= FP16_TINY), 0, scales)
            report.exact_arrays(f"{what} {key}", got, want)
    packed = Base5().encode(codes.ravel(), alphabet=5)
    report.exact(f"{what} packed", sha256(packed).hexdigest(), fact["packed_sha256"])
    sizes = {
        "packed_bytes": len(packed),
        "padded_cols": codes.shape[1],
        "n_quins": codes.size,
        "scale_n_groups": codes.size // grid.group,
    }
    for key in sizes.keys() & fact.keys():
        report.exact(f"{what} {key}", sizes[key], fact[key])
    counts = np.bincount(codes.ravel(), minlength=5).tolist()
    report.exact(f"{what} histogram", counts, fact["code_histogram_m2_to_p2"])


def _deltas(parts: Mapping[str, Array], bits: int) -> Array:
    """Return the deltas of scales as the original stores them."""
    deltas = parts["scales"].ravel()
    if bits == 8:
        return deltas.astype(int) - 128
    return _nibbles(deltas) if bits == 4 else deltas


def _check_scales(case: Case, export: Export, report: Report) -> None:
    """Check the scales of one tensor before they are coded, and in 4 and 8 bits."""
    facts, stored = case.entries("quant.json"), case.entries("quant.npz")
    if "scale_before_quant_tensor" not in facts:
        return
    name = facts.take("scale_before_quant_tensor")
    grid = export.tensors[name].quantizer
    assert isinstance(grid, GroupLevels)
    parts = GroupLevels(2, grid.group).quantize(export.weights[name], zero_scales=True).parts
    scales = join_bytes("scales", parts, torch.float16)
    key = f"{name}__scale_f16_before_quant"
    report.exact_arrays(f"{case.label} quant.npz {key}", scales, stored.take(key))
    rows = scales.reshape(1, -1)
    for bits, fact in facts.take("other_scale_bits").items():
        coded, key = LogDeltaScales(int(bits)), f"{name}__scale{bits}bit"
        parts = coded.quantize(rows)
        what = f"{case.label} quant.npz {key}"
        found = join_bytes("anchor_step", parts, torch.float16).tolist()
        report.exact(f"{what} anchor and step", found, [fact["anchor"], fact["step"]])
        back = coded.values(parts, shape=(1, rows.numel()))
        report.exact_arrays(f"{what} back", back.ravel(), stored.take(f"{key}_dequant_f16"))
        deltas = parts["scales"].ravel()
        got = _nibbles(deltas) if bits == "4" else deltas.astype(int) - 128
        report.exact_arrays(f"{what} deltas", got, stored.take(f"{key}_delta"))


def _nibbles(symbols: Array) -> Array:
    pairs = np.pad(symbols, (0, symbols.size % 2)).reshape(-1, 2)
    joined: Array = pairs[:, 0] | pairs[:, 1] << 4
    return joined


def _check_2086_sizes(
    case: Case, tensors: dict[str, Any], export: Export, stats: dict[str, int], report: Report
) -> None:
    quinary = [name for name, fact in tensors.items() if fact["type"] == "quinary"]
    rest = [name for name in tensors if name not in quinary]
    weights = {name: export.weights[name].numel() for name in tensors}
    bits = {name: tensors[name].get("scale_bits", 0) for name in quinary}
    widths = {name: 1 if tensors[name]["type"] == "fp8" else 2 for name in rest}
    sizes = {
        "quinary_params": sum(weights[name] for name in quinary),
        "quinary_bytes": sum(
            -(-tensors[name]["n_quins"] // 3) + _scale_bytes(tensors[name], bits[name])
            for name in quinary
        ),
        "fp_params": sum(weights[name] for name in rest),
        "fp_bytes": sum(weights[name] * widths[name] for name in rest),
    }
    report.exact(f"{case.label} quant.json stats", sizes, stats)


def _scale_bytes(fact: dict[str, Any], bits: int) -> int:
    """Return the bytes of a tensor's scales, anchor and step."""
    groups: int = fact["n_quins"] // fact["group_size"]
    if bits not in (4, 5, 8):
        return 2 * groups
    return (-(-groups // 2) if bits == 4 else groups) + 4


def check_1123(case: Case, report: Report) -> None:
    """Check the export of a PR 1123 model."""
    facts, stored = case.entries("quant.json"), case.entries("quant.npz")
    export = Export(load_file(case.folder / "state_dict.safetensors"), "pr1123")
    tally = Tally(f"{case.label} quant.npz", report)
    tensors = facts.take("tensors")
    for name, fact in tensors.items():
        symbols = export.tensors[name].quantized.parts["codes"]
        what = f"{case.label} quant.npz {name}"
        report.exact(f"{what} grid", _kind(export, name), fact["kind"])
        found = sha256(symbols.tobytes()).hexdigest()
        report.exact(f"{what} symbols", found, fact["symbols_sha256"])
        tally.codes(name, symbols, stored.take(f"{name}__symbols_u8"))
        tally.scales(name, export.scales(name), stored.take(f"{name}__scales_f16"))
        counts = np.maximum(np.bincount(symbols.ravel(), minlength=fact["alpha"]), 1)
        report.exact_arrays(f"{what} counts", counts, stored.take(f"{name}__counts"))
        _check_frequencies(what, counts, fact["cdf"], report)
        export.compare_facts(what, name, fact, report)
    tally.settle()
    for name in facts.take("dequantised_examples"):
        key = f"{name}__deq_f32"
        report.exact_arrays(f"{case.label} quant.npz {key}", export.back(name), stored.take(key))
    for name, example in facts.take("build_cdf_cases").items():
        what = f"{case.label} quant.json build_cdf_cases {name}"
        _check_frequencies(what, np.array(example["counts"]), example["cdf"], report)
        widths = np.diff(example["cdf"]).tolist()
        report.exact(f"{what} frequencies", widths, example["frequencies"])
    _check_clip_search(case, export, facts.take("gptq_clip_search"), stored, report)
    facts.take("function")


def _kind(export: Export, name: str) -> str:
    quantizer = export.tensors[name].quantizer
    if isinstance(quantizer, RowPentanary):
        return "pentanary"
    assert isinstance(quantizer, RowAsymInt), name
    return f"int{quantizer.bits}"


def _check_frequencies(what: str, counts: Array, published: list[int], report: Report) -> None:
    """Compare a table of the rANS coder; one that leaves a symbol no room must be refused."""
    try:
        got = frequencies(counts.astype(np.int64)).tolist()
    except CorruptError:
        got = None
    report.exact(f"{what} cdf", got, published if min(np.diff(published)) > 0 else None)


def _check_clip_search(
    case: Case, export: Export, facts: dict[str, Any], stored: Entries, report: Report
) -> None:
    """Check PR 1123's search for clips, which its model never uses."""
    saved = 0.0
    for module, ratio in facts["clip_ratio"].items():
        name = f"{module}.weight"
        grid = export.tensors[name].quantizer
        assert isinstance(grid, RowAsymInt)
        rows = export.weights[name]
        found = grid.shared_clip(rows)
        report.close(f"{case.label} quant.json clip_ratio {module}", found, ratio, 1e-7)
        errors = torch.stack([_errors(grid, rows, share) for share in CLIP_SHARES])
        saved += (errors[-1] - errors.amin(dim=0)).double().sum().item()
        key = f"gptq_clip__{name}"
        if f"{key}__symbols_u8" in stored:
            parts = grid.quantize(rows, share=ratio).parts
            what = f"{case.label} quant.npz {key}"
            want = stored.take(f"{key}__symbols_u8")
            report.exact_arrays(f"{what} symbols", parts["codes"], want)
            want = stored.take(f"{key}__scales_f16")
            report.exact_arrays(f"{what} scales", join_bytes("scales", parts, torch.float16), want)
    what = f"{case.label} quant.json gptq_clip_search return_value"
    report.close(what, saved, facts["return_value"], 1e-5 * facts["return_value"])


def _errors(grid: RowAsymInt, rows: Tensor, share: float) -> Tensor:
    """Return the mean squared error of each row, with its clip before fp16."""
    widest = rows.abs().kthvalue(max(1, int(share * rows.shape[1])), dim=1, keepdim=True).values
    codes = torch.from_numpy(grid.quantize(rows, share=share).parts["codes"].astype(np.float32))
    return (rows - (codes - grid.half) / grid.half * widest.clamp(min=1e-5)).square().mean(dim=1)
