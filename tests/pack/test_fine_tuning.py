"""What is not quantized yet makes up for what is."""

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
from artpack.models import PRESETS, build
from artpack.pack.fine_tuning import FREE_SHARES, fine_tune
from artpack.pack.prepare import Prepared
from artpack.pack.rate_distortion import RateDistortion
from artpack.recipes import load_recipe
from artpack.runners.batches import TokenBatches
from artpack.runners.distillation import Distillation
from artpack.runners.divergence import Divergence
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from tests.models.conftest import random_weights, shrink

DRAW = np.random.default_rng(0)
LEARNED, OTHERS = DRAW.integers(0, 61, (64, 16)), DRAW.integers(0, 61, (32, 16))
CONFIG = shrink(PRESETS["lm6m"].config)
WEIGHTS = random_weights(CONFIG)


class Case:
    """A small model of which nothing is known but batches."""

    def __init__(self, weights: dict[str, Tensor] = WEIGHTS) -> None:
        self.runner = GptRunner(build(CONFIG, weights))
        checkpoint = from_state_dict(weights)
        selection = select(checkpoint)
        self.places = places(self.runner.module, selection.banks)
        spec = load_recipe("frontier", ["matrices.min_rows=8", "matrices.quantizer.states=4"])
        self.found = RateDistortion(checkpoint, selection, spec, None, jobs=1)
        self.log2_step = self.found.log2_step_for(2.0)

    def loss(self, prepared: dict[str, Prepared]) -> float:
        measured = Divergence(self.runner, TokenBatches(OTHERS, 1024), self.places)
        return measured({name: weights(one) for name, one in prepared.items()})

    def objective(self, first: int = 0) -> Distillation:
        return Distillation(self.runner, TokenBatches(LEARNED, 1024), self.places, first=first)

    def tuned(self, steps: int) -> dict[str, Prepared]:
        return fine_tune(self.found, self.log2_step, self.objective, steps=steps)


def weights(prepared: Prepared) -> Tensor:
    return prepared.quantizer.dequantize(prepared.quantized)


def test_the_model_is_nearer_to_what_it_was_on_other_tokens_too() -> None:
    case = Case()
    plain = case.found.prepare(case.log2_step)
    assert case.loss(case.tuned(10)) < 0.95 * case.loss(plain)


def test_the_same_tokens_give_the_same_symbols_and_the_model_stays() -> None:
    case = Case()
    before = {name: tensor.clone() for name, tensor in case.runner.module.state_dict().items()}
    first, second = case.tuned(5), Case().tuned(5)
    for name, one in first.items():
        for part, symbols in one.quantized.parts.items():
            assert np.array_equal(symbols, second[name].quantized.parts[part])
    after = case.runner.module.state_dict()
    assert all(torch.equal(after[name], old) for name, old in before.items())


def test_without_steps_it_is_quantizing_in_goes() -> None:
    case = Case()
    plain = case.found.prepare(case.log2_step)
    for name, one in case.tuned(0).items():
        torch.testing.assert_close(weights(one), weights(plain[name]), rtol=1e-5, atol=1e-6)


def test_every_step_is_told_once() -> None:
    case = Case()
    told: list[tuple[object, ...]] = []
    fine_tune(
        case.found,
        case.log2_step,
        case.objective,
        steps=7,
        progress=lambda *one: told.append(one),
    )
    assert [one[1] for one in told] == list(range(1, 8))
    assert {one[2] for one in told} == {7}
    assert [one[0] for one in told] == ["learning"] * 7


def test_an_interruption_gets_through() -> None:
    case = Case()

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(case.found, case.log2_step, case.objective, steps=5, progress=stop)


def test_empty_tensors_go_along() -> None:
    checkpoint = from_state_dict({"fc": torch.randn(64, 8), "nothing": torch.zeros(64, 0)})
    found = RateDistortion(checkpoint, select(checkpoint), load_recipe("frontier"), None)
    tuned = fine_tune(found, -3.0, lambda _: lambda stored: stored["fc"].square().sum(), steps=5)
    assert weights(tuned["nothing"]).shape == (64, 0)
    assert list(tuned) == ["fc", "nothing"]


def test_shares_of_columns_become_fewer() -> None:
    assert list(FREE_SHARES) == sorted(FREE_SHARES, reverse=True)
    assert FREE_SHARES[-1] > 0
