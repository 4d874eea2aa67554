"""A small model exported by one of our recipes, to be compared with its system's own export."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.calibration.file import Calibration
from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
from artpack.pack.prepare import Prepared, prepare
from artpack.quantize import Fp16, LowRank, RowInt
from artpack.quantize.grids.raw import Raw
from artpack.quantize.parts import join_bytes
from artpack.quantize.rounding.clips import StdClip
from artpack.recipes import load_recipe
from artpack.recipes.spec import PlanSpec
from artpack.stages.symbols import Quantized
from tests.golden.checks.report import Report, stored_rows

Array = NDArray[Any]


def read_hessians(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """Return fp32 Hessians out of their integer factors, by the names of the weights."""
    names = [key.removeprefix("X/") for key in arrays if key.startswith("X/")]
    return {
        name if name.endswith(".weight") else f"{name}.weight": _product(
            arrays[f"X/{name}"], arrays[f"D/{name}"]
        )
        for name in names
    }


def check_hessian(what: str, hessian: Tensor, fact: Mapping[str, Any], report: Report) -> None:
    """Compare a Hessian with what a case says of it."""
    report.exact(what, fp32_sha256(hessian), fact["sha256_fp32"])
    dead = torch.where(hessian.diagonal() == 0)[0].tolist()
    known = {"dim": len(hessian), "dead_columns": dead}
    for key in known.keys() & fact.keys():
        report.exact(f"{what} {key}", known[key], fact[key])
    if "trace" in fact:
        report.relative(f"{what} trace", hessian.double().trace(), fact["trace"], 1e-6)


def _product(x: Array, diagonal: Array) -> Tensor:
    x = x.astype(np.float64)
    return torch.from_numpy((x.T @ x + np.diag(diagonal)) / len(x)).float()


class Export:
    """
    All stored tensors of a state dict under a recipe.

    Args:
        state: The weights under the system's own names.
        recipe: Name of the recipe.
        overrides: Changes to it.
        hessians: By stored name; also those that the recipe does not use.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        recipe: str,
        overrides: Sequence[str] = (),
        hessians: Mapping[str, Tensor] | None = None,
    ) -> None:
        spec = load_recipe(recipe, overrides)
        calibration = Calibration(hessians or {}, {}, {}, 1, {})
        with from_state_dict(state) as checkpoint:
            selection = select(checkpoint)
            self.weights = {info.name: checkpoint.read(info.name) for info in selection.tensors}
            self.tensors = prepare(checkpoint, selection, spec, calibration)
        for name, weight in self.weights.items():
            self.tensors.setdefault(name, _by_rule(spec, name, weight))

    def fp16(self, name: str) -> Array:
        """Return a tensor that is stored as fp16."""
        tensor = self.tensors[name]
        assert tensor.quantizer == Fp16(), name
        flat = join_bytes("data", tensor.quantized.parts, torch.float16)
        return flat.reshape(tensor.quantized.shape).numpy()

    def codes(self, name: str) -> Array:
        """Return the signed codes of a tensor of row-scaled integers."""
        symbols = self.tensors[name].quantized.parts["codes"].astype(np.int16)
        return symbols - self.row_int(name).radius

    def scales(self, name: str) -> Array:
        """Return the fp16 scales of such a tensor."""
        return join_bytes("scales", self.tensors[name].quantized.parts, torch.float16).numpy()

    def row_int(self, name: str) -> RowInt:
        """Return the grid of such a tensor, without a correction."""
        quantizer = self.tensors[name].quantizer
        inner = quantizer.inner if isinstance(quantizer, LowRank) else quantizer
        assert isinstance(inner, RowInt), name
        return inner

    def back(self, name: str) -> Tensor:
        """Return a tensor's weights as a reader gets them, fp32."""
        tensor = self.tensors[name]
        return tensor.quantizer.dequantize(tensor.quantized).float()

    def inner_back(self, name: str) -> Tensor:
        """Return the same without a correction."""
        tensor = self.tensors[name]
        if not isinstance(tensor.quantizer, LowRank):
            return self.back(name)
        inner, shape = tensor.quantizer.inner, tensor.quantized.shape
        parts = {spec.name: tensor.quantized.parts[spec.name] for spec in inner.parts(shape)}
        return inner.dequantize(Quantized(shape, parts))

    def facts(self, name: str) -> dict[str, Any]:
        """Return what the systems say of a tensor, apart from its values."""
        shape, numel = list(self.weights[name].shape), self.weights[name].numel()
        found = {"shape": shape, "orig_shape": shape, "codes_total": numel}
        tensor = self.tensors[name]
        inner = tensor.quantizer.inner if isinstance(tensor.quantizer, LowRank) else None
        if isinstance(inner or tensor.quantizer, RowInt):
            codes, grid = self.codes(name), self.row_int(name)
            found |= {"bits": grid.bits, "clip_range": grid.radius}
            found |= {"code_min": int(codes.min()), "code_max": int(codes.max())}
            found |= {"rows": shape[0], "n_zero_codes": int((codes == 0).sum())}
            if isinstance(grid.clip, StdClip):
                found["clip_sigmas"] = grid.clip.k
        return found

    def compare_facts(self, what: str, name: str, fact: Mapping[str, Any], report: Report) -> None:
        """Compare what a case says of a tensor, apart from its values."""
        known = self.facts(name)
        both = sorted(known.keys() & fact.keys())
        report.exact(f"{what} {', '.join(both)}", [known[k] for k in both], [fact[k] for k in both])
        # A correction depends on the signs that an SVD gives its vectors.
        if "dequant_mse" in fact and not isinstance(self.tensors[name].quantizer, LowRank):
            got = self.mean_squared_error(name)
            report.close(f"{what} dequant_mse", got, fact["dequant_mse"], 1e-9 + 1e-3 * got)
        if "lqer_candidate_error_norm" in fact:
            error = self.weights[name].double() - self.inner_back(name).double()
            want = fact["lqer_candidate_error_norm"]
            report.relative(f"{what} norm of the error", error.norm(), want, 1e-5)
            if "lqer_error_top_singular_values" in fact:
                want = fact["lqer_error_top_singular_values"]
                values = torch.linalg.svdvals(error)[: len(want)]
                report.relative(f"{what} singular values of the error", values, want, 1e-4)

    def mean_squared_error(self, name: str) -> float:
        """Return the error of a tensor's weights."""
        return (self.weights[name].double() - self.back(name).double()).square().mean().item()


def _by_rule(spec: PlanSpec, name: str, weight: Tensor) -> Prepared:
    rule = spec.rule_for(name, tuple(weight.shape))
    assert rule is not None
    quantizer = rule.quantizer or Raw(str(weight.dtype).removeprefix("torch."))
    return Prepared(quantizer, quantizer.quantize(weight))


def fp32_sha256(tensor: Tensor) -> str:
    """Return the hash by which golden data names a tensor."""
    return sha256(tensor.float().contiguous().numpy().tobytes()).hexdigest()


class Tally:
    """
    Counts codes and scales of a case that differ: sums in another order may move ties.

    Args:
        label: The case.
        report: Where the outcome goes.
    """

    MOST_CODES = 1e-5
    MOST_SCALES = 2

    def __init__(self, label: str, report: Report) -> None:
        self.label, self.report = label, report
        self._codes = 0
        self._differ: dict[str, int] = {}

    def codes(self, name: str, got: Array, want: Array) -> None:
        """Compare a tensor's codes; perhaps only the first rows are stored."""
        got = got[: stored_rows(got, want)]
        if got.shape != want.shape:
            self.report.fail(f"{self.label} {name}", f"shape {got.shape}, not {want.shape}")
            return
        self._codes += want.size
        self._differ[name] = int(np.count_nonzero(got.astype(int) != want.astype(int)))

    def scales(self, name: str, got: Array, want: Array) -> None:
        """Compare a tensor's scales; the last bit of two may be another."""
        got, want = got.ravel(), want.ravel()
        if got.shape != want.shape:
            self.report.fail(f"{self.label} {name}: scales", f"{got.size} of them, not {want.size}")
            return
        bits = np.int16 if want.dtype == np.float16 else np.int32
        steps = np.abs(got.view(bits).astype(int) - want.view(bits).astype(int))
        differ, largest = int(np.count_nonzero(steps)), int(steps.max(initial=0))
        self.report.line(
            f"{self.label} {name}: scales",
            f"{differ} of {want.size} differ, by {largest} ulp at most;"
            f" {self.MOST_SCALES} may, by 1",
            passed=differ <= self.MOST_SCALES and largest <= 1,
        )

    def settle(self) -> None:
        """Report the sum of all codes."""
        wrong = {name: count for name, count in self._differ.items() if count}
        named = "".join(f", {count} in {name}" for name, count in wrong.items())
        self.report.line(
            f"{self.label}: codes of {len(self._differ)} tensors",
            f"{sum(wrong.values())} of {self._codes:,} differ{named}; at most 1 in 100,000 may",
            passed=sum(wrong.values()) <= self.MOST_CODES * self._codes,
        )
