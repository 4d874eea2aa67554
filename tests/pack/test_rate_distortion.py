"""One number moves all tensors along the curve; sensitivities say how far apart they are."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.calibration.file import Calibration
from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
from artpack.errors import CheckpointError, UsageError
from artpack.pack.prepare import Prepared
from artpack.pack.rate_distortion import RateDistortion
from artpack.pack.sensitivities import (
    measure_sensitivities,
    read_sensitivities,
    write_sensitivities,
)
from artpack.quantize import RowInt
from artpack.quantize.grids.lattice import Lattice
from artpack.quantize.rounding.clips import MseClip
from artpack.recipes import load_recipe

DRAW = torch.Generator().manual_seed(0)
WEIGHTS = {
    "emb.weight": torch.randn(64, 32, generator=DRAW),
    "fc.weight": torch.randn(48, 32, generator=DRAW) / 50,
    "scale": torch.ones(32),
}
CALIBRATION = Calibration(
    hessians={"emb.weight": torch.eye(32), "fc.weight": 9 * torch.eye(32)},
    row_information={"emb.weight": torch.full((64,), 0.25), "fc.weight": torch.full((48,), 4.0)},
    lookup_information={"emb.weight": torch.full((64,), 0.75)},
    tokens=1,
    fingerprint={},
    output_covariances={"fc.weight": 4 * torch.eye(48)},
)
SPEC = load_recipe(
    "frontier", ["matrices.quantizer.states=4", "matrices.rounding.output_damping=1e-6"]
)


def frontier(
    weights: Mapping[str, Tensor] = WEIGHTS,
    calibration: Calibration | None = CALIBRATION,
    sensitivities: Mapping[str, float] | None = None,
    jobs: int = 1,
) -> RateDistortion:
    checkpoint = from_state_dict(weights)
    return RateDistortion(
        checkpoint, select(checkpoint), SPEC, calibration, sensitivities=sensitivities, jobs=jobs
    )


def error(name: str, prepared: Prepared) -> float:
    back = prepared.quantizer.dequantize(prepared.quantized)
    return float((back - WEIGHTS[name]).square().mean())


def test_vectors_are_left_to_their_rule() -> None:
    assert list(frontier().prepare(-4.0)) == ["emb.weight", "fc.weight"]


def test_every_weight_costs_the_same_by_formula() -> None:
    prepared = frontier().prepare(-4.0)
    # Half the information of a row and the Hessian; the embedding has both of its roles.
    sensitivities = {"emb.weight": (0.25 + 0.75) / 2, "fc.weight": 9 * 4 / 2}
    shares = [sensitivities[name] * error(name, one) for name, one in prepared.items()]
    assert shares[0] == pytest.approx(shares[1], rel=0.3)
    assert shares[0] == pytest.approx(4**-4 / 24, rel=0.3)


def test_measured_costs_move_a_tensor_by_what_they_say() -> None:
    # At 4 ** 3 times the cost for each weight, an eighth of the step.
    sensitivities = {"emb.weight": 64 * 20.0, "fc.weight": 48 * 20.0 * 4**3}
    measured = frontier(sensitivities=sensitivities)
    assert measured.offset("emb.weight") - measured.offset("fc.weight") == pytest.approx(3.0)


def test_symbols_do_not_depend_on_the_number_of_threads() -> None:
    one, two = frontier().prepare(-3.0), frontier(jobs=2).prepare(-3.0)
    for name, prepared in one.items():
        for part, symbols in prepared.quantized.parts.items():
            np.testing.assert_array_equal(symbols, two[name].quantized.parts[part])


def test_the_rate_that_is_asked_for_is_estimated() -> None:
    measured = frontier()
    for bits in (1.5, 3.0, 5.0):
        estimate = measured.bits(measured.log2_step_for(bits)) / (112 * 32)
        assert estimate == pytest.approx(bits, abs=0.02)
    assert measured.log2_step_for(3.0) < measured.log2_step_for(1.5)


@pytest.mark.parametrize("bits", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("known", ["nothing", "moments"])
def test_the_estimate_is_near_the_entropy_of_the_codes(bits: float, known: str) -> None:
    given = {"fc.weight": torch.randn(256, 128, generator=torch.Generator().manual_seed(1))}
    mixed = torch.randn(512, 384, generator=torch.Generator().manual_seed(2))
    moments = mixed.T @ mixed / 512
    calibration = replace(
        CALIBRATION,
        hessians={"fc.weight": moments[:128, :128]},
        output_covariances={"fc.weight": moments[128:, 128:]},
    )
    found = frontier(given, calibration if known == "moments" else None)
    quantized = found.quantize("fc.weight", found.log2_step_for(bits))
    assert entropy_on_trellis(quantized) == pytest.approx(bits, abs=0.1)


def test_what_a_file_has_besides_codes_is_counted() -> None:
    scales = 4 * (64 + 32 + 48 + 32)
    assert frontier().bits_beside == scales + 32 * 16


@pytest.mark.parametrize(("factor", "ratio"), [(2.0, 1.0), (1 / 2, 1.0), (1 / 100, 100 / 4)])
def test_without_data_steps_are_equal_but_for_tensors_too_small_for_them(
    factor: float, ratio: float
) -> None:
    wide = torch.randn(64, 32, generator=torch.Generator().manual_seed(1))
    given = {"most.weight": wide.repeat(64, 1), "few.weight": wide * factor}
    prepared = frontier(given, None).prepare(-3.0)
    steps = {
        name: (one.quantizer.dequantize(one.quantized) - given[name]).square().mean().sqrt()
        for name, one in prepared.items()
    }
    assert float(steps["most.weight"] / steps["few.weight"]) == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize("other", [torch.zeros(64, 32), torch.zeros(64, 0)])
def test_without_data_tensors_of_nothing_have_no_say(other: Tensor) -> None:
    given = {name: WEIGHTS[name] for name in ("emb.weight", "fc.weight")}
    alone, beside = frontier(given, None), frontier(given | {"nothing.weight": other}, None)
    assert [beside.offset(name) for name in given] == [alone.offset(name) for name in given]
    (*_, nothing) = beside.prepare(-3.0).values()
    assert torch.equal(nothing.quantizer.dequantize(nothing.quantized), other)


def test_a_tensor_that_nothing_is_known_of_has_steps_like_the_others() -> None:
    known = replace(CALIBRATION, hessians={"emb.weight": torch.eye(32)})
    given = {**WEIGHTS, "fc.weight": WEIGHTS["emb.weight"][:48] / 50}
    prepared = frontier(given, known).prepare(-3.0)
    relative = {
        name: float(
            (one.quantizer.dequantize(one.quantized) - given[name]).norm() / given[name].norm()
        )
        for name, one in prepared.items()
    }
    assert relative["fc.weight"] == pytest.approx(relative["emb.weight"], rel=0.1)


def test_without_data_errors_are_below_those_of_row_scaled_grids() -> None:
    plain = frontier({"emb.weight": WEIGHTS["emb.weight"]}, None)
    grid, name = RowInt(4, MseClip()), "emb.weight"
    row_scaled = Prepared(grid, grid.quantize(WEIGHTS[name]))
    rates = (plain.log2_step_for(bits) for bits in np.arange(5.0, 2.0, -0.05))
    tried = (plain.quantize(name, log2_step) for log2_step in rates)
    smaller = next(one for one in tried if entropy(one) < entropy(row_scaled))
    assert error(name, smaller) < error(name, row_scaled)


def entropy(prepared: Prepared) -> float:
    """Return what is coded: on a trellis a code is one of half as many points."""
    return entropy_of(prepared.quantized.parts["codes"])


def entropy_of(codes: NDArray[np.uint8]) -> float:
    counts = np.bincount(codes.ravel())
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def entropy_on_trellis(prepared: Prepared) -> float:
    """Return the entropy of a code whose state's parity is known."""
    assert isinstance(prepared.quantizer, Lattice)
    odd = prepared.quantizer.unpack(prepared.quantized)[0] & 1 == 1
    codes = prepared.quantized.parts["codes"]
    return float(odd.mean() * entropy_of(codes[odd]) + (~odd).mean() * entropy_of(codes[~odd]))


def test_a_weight_that_is_not_finite_names_its_tensor() -> None:
    weights = {"fc.weight": torch.full((48, 32), math.nan)}
    with pytest.raises(CheckpointError, match=r"'fc.weight'.*nan"):
        frontier(weights).prepare(-4.0)


def test_costs_are_those_of_the_loss() -> None:
    truth = {"emb.weight": 5.0, "fc.weight": 700.0}

    def curvature(errors: Mapping[str, Tensor]) -> dict[str, float]:
        return {name: truth[name] * float(e.square().mean()) for name, e in errors.items()}

    sensitivities = measure_sensitivities(frontier(), curvature)

    # A squared step is the same multiple of the mean squared error in both.
    assert sensitivities["fc.weight"] / sensitivities["emb.weight"] == pytest.approx(140, rel=0.2)


def test_what_costs_nothing_goes_by_formula() -> None:
    assert measure_sensitivities(frontier(), lambda errors: dict.fromkeys(errors, 0.0)) == {}


def test_costs_are_kept_for_as_long_as_they_fit(tmp_path: Path) -> None:
    path = tmp_path / "sensitivities.json"
    assert read_sensitivities(path, {"weights": "a"}) is None
    assert write_sensitivities(path, {"fc.weight": 0.5}, {"weights": "a"}) == path.stat().st_size
    assert read_sensitivities(path, {"weights": "a"}) == {"fc.weight": 0.5}
    assert read_sensitivities(path, {"weights": "b"}) is None


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        json.dumps({"format": "other"}),
        json.dumps(
            {"format": "artpack-sensitivity-1", "fingerprint": {}, "sensitivities": {"a": -1.0}}
        ),
        json.dumps(
            {"format": "artpack-sensitivity-1", "fingerprint": {}, "sensitivities": {"a": "1"}}
        ),
        json.dumps({"format": "artpack-sensitivity-1", "fingerprint": {}, "sensitivities": [1.0]}),
    ],
)
def test_files_that_are_no_costs_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sensitivities.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"sensitivities\.json: "):
        read_sensitivities(path, {})


def test_rows_of_a_table_count_by_what_comes_back_to_them() -> None:
    weights = {"emb.weight": torch.randn(64, 32, generator=torch.Generator().manual_seed(3))}
    seen = torch.tensor([4.0, 1.0] * 32)
    known = Calibration({}, {}, {"emb.weight": seen}, 10, {})
    with from_state_dict(weights) as checkpoint:
        spec = load_recipe("frontier")
        whole = RateDistortion(checkpoint, select(checkpoint), spec, known)
        metric = whole.metric("emb.weight")
        assert metric.row_log2_steps[1] > metric.row_log2_steps[0]
        assert whole.offset("emb.weight") == metric.log2_step
