"""Plans: what packing would take, from shapes alone."""

from pathlib import Path

import pytest
import torch

import artpack
from artpack import CompressInputs
from artpack.api.plan import Costs, plan_work
from artpack.checkpoint import TensorInfo
from artpack.recipes import load_recipe

COSTS = Costs(run=1.0, product=10.0, metric=2.0, search=100.0, feedback=3.0, code=5.0)
MATRIX = TensorInfo("h.0.attn.weight", (64, 128), torch.float32)


def test_hours_are_sums_of_costs() -> None:
    frontier = load_recipe("frontier")
    found = plan_work([MATRIX], frontier, tokens=1000, trials=2, workers=4, costs=COSTS)
    calibrating, quantizing, packing = found.phases
    weights, products = 64 * 128, 64**2 + 128**2
    # Besides products there are two float64 squares of each row.
    numbers = products + 4 * 64
    assert calibrating.core_hours == 1000 * (weights * 1.0 + numbers * 10.0) / 3.6e12
    assert calibrating.hours == calibrating.core_hours / 4
    feedback, cubes = 3.0 * (64 + 128), 64**3 + 128**3
    assert quantizing.core_hours == 2 * (weights * (100 + feedback) + 2 * 2.0 * cubes) / 3.6e12
    assert quantizing.hours == quantizing.core_hours  # one matrix keeps one worker busy
    assert packing.core_hours == 2 * weights * 5.0 / 3.6e12
    assert found.calibration_bytes == 4 * numbers
    assert found.passes == 1


def test_without_data_and_a_goal_there_is_little_to_do() -> None:
    found = plan_work([MATRIX], load_recipe("int8"), tokens=0, costs=COSTS)
    assert [phase.name for phase in found.phases] == ["packing"]
    assert found.calibration_bytes == found.tokens == found.passes == 0
    assert found.file_bytes == pytest.approx(64 * 128, rel=0.05)


def test_sums_of_a_large_model_take_passes() -> None:
    large = [TensorInfo(f"h.{n}.mlp.weight", (8192, 16384), torch.bfloat16) for n in range(5)]
    # One has sums of a GiB, and there is room for two, but for the squares of their rows.
    assert plan_work(large, load_recipe("frontier"), tokens=1).passes == 5


def test_only_matrices_on_the_frontier_are_searched() -> None:
    weights = {"fc.weight": torch.eye(64), "fc.bias": torch.zeros(64)}
    found = artpack.plan(CompressInputs(source=weights, jobs=2), budget=3000)
    assert (found.recipe, found.workers, found.file_bytes) == ("frontier", 2, 3000)
    assert [(phase.name, phase.tasks) for phase in found.phases] == [
        ("quantizing", 1),
        ("packing", 1),
    ]


def test_a_calibration_that_is_there_is_not_collected(small: Path) -> None:
    known = small / "known"
    choice = CompressInputs(
        source=small / "ckpt.pt", calibration=known, calibration_tokens=small / "calib.bin"
    )
    assert artpack.plan(choice).tokens == 32_768
    known.touch()
    assert artpack.plan(choice).tokens == 0
