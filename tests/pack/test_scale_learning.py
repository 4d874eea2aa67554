"""Scales are learned and codes are not, and the model says more of what it said before."""

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.checkpoint import Checkpoint, from_state_dict
from artpack.checkpoint.selection import Selection, select
from artpack.models import GPT, PRESETS, build
from artpack.pack.prepare import Prepared
from artpack.pack.rate_distortion import RateDistortion
from artpack.pack.scale_learning import learn_scales
from artpack.quantize import Lattice, RowInt
from artpack.quantize.grids.lattice import MAX_SPAN
from artpack.quantize.rounding.clips import StdClip
from artpack.recipes import load_recipe
from artpack.runners.batches import TokenBatches
from artpack.runners.distillation import Distillation
from artpack.runners.divergence import Divergence
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from tests.models.conftest import random_weights, shrink

DRAW = np.random.default_rng(0)
LEARNED, OTHERS = DRAW.integers(0, 61, (32, 16)), DRAW.integers(0, 61, (32, 16))


class Case:
    """A small model, and its tensors on the frontier."""

    def __init__(self, preset: str, *settings: str) -> None:
        config = shrink(PRESETS[preset].config)
        weights = random_weights(config)
        self.model: GPT = build(config, weights)
        self.checkpoint: Checkpoint = from_state_dict(weights)
        self.selection: Selection = select(self.checkpoint)
        self.places = places(self.model, self.selection.banks)
        spec = load_recipe(
            "frontier", ["matrices.min_rows=8", "matrices.quantizer.states=4", *settings]
        )
        frontier = RateDistortion(self.checkpoint, self.selection, spec, None)
        self.prepared = frontier.prepare(frontier.log2_step_for(2.0))

    def loss(self, prepared: dict[str, Prepared]) -> float:
        measured = Divergence(GptRunner(self.model), TokenBatches(OTHERS, 1024), self.places)
        return measured({name: weights(one) for name, one in prepared.items()})

    def tuned(self, steps: int) -> dict[str, Prepared]:
        batches = TokenBatches(LEARNED, 1024)
        objective = Distillation(GptRunner(self.model), batches, self.places)
        return learn_scales(self.prepared, objective, steps=steps)


def weights(prepared: Prepared) -> Tensor:
    return prepared.quantizer.dequantize(prepared.quantized)


@pytest.mark.parametrize("preset", ["lm6m", pytest.param("pr1934", marks=pytest.mark.slow)])
def test_the_model_is_nearer_to_what_it_was_on_other_tokens_too(preset: str) -> None:
    case = Case(preset)
    assert case.loss(case.tuned(40)) < 0.95 * case.loss(case.prepared)


def test_codes_stay_and_so_does_the_model() -> None:
    case = Case("lm6m")
    before = {name: tensor.clone() for name, tensor in case.model.state_dict().items()}
    for name, one in case.tuned(20).items():
        given = case.prepared[name]
        assert np.array_equal(one.quantized.parts["codes"], given.quantized.parts["codes"])
        assert not torch.equal(weights(one), weights(given))
    assert all(torch.equal(case.model.state_dict()[name], old) for name, old in before.items())


def test_scales_are_only_written_finer_if_nothing_is_learned() -> None:
    case = Case("lm6m", "matrices.quantizer.resolution=12")
    for name, one in case.tuned(0).items():
        assert isinstance(one.quantizer, Lattice)
        assert one.quantizer.resolution == 36
        assert torch.allclose(weights(one), weights(case.prepared[name]), rtol=1e-6)


def test_scales_move_apart_no_further_than_they_can_be_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case("lm6m")
    monkeypatch.setattr("artpack.pack.scale_learning.LEARNING_RATE", 10.0)
    tuned = case.tuned(12)
    for name, one in tuned.items():
        codes = case.prepared[name].quantized.parts["codes"]
        assert np.array_equal(one.quantized.parts["codes"], codes)
    spans = [one.quantized.parts["row_scales"].max() for one in tuned.values()]
    assert max(spans) in {MAX_SPAN - 1, MAX_SPAN}


def test_other_quantizers_scales_too_far_apart_and_nothing_stay_as_they_are() -> None:
    case = Case("lm6m")
    (name, first), (other, second), *_ = case.prepared.items()
    grid = RowInt(6, StdClip(12.85))
    rows = Prepared(grid, grid.quantize(weights(first)))
    shape = second.quantized.shape
    exponents = np.linspace(0, 200, shape[0]).astype(np.int32), np.zeros(shape[1], np.int32)
    lattice = Lattice(1, 3)
    far = Prepared(lattice, lattice.pack(shape, np.ones(shape, np.int32), *exponents))
    empty = Prepared(lattice, lattice.quantize(torch.zeros(64, 0)))
    case.prepared = {name: rows, other: far, "empty": empty}
    assert case.tuned(1) == case.prepared


def test_what_the_model_does_not_have_learns_nothing() -> None:
    case = Case("lm6m")
    first = next(iter(case.prepared.values()))
    case.prepared["stranger"] = first
    assert torch.allclose(weights(case.tuned(1)["stranger"]), weights(first), rtol=1e-3)
