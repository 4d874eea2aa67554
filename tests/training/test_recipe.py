"""Training recipes: each seed's groups and values, and what a wrong one is told."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from artpack.errors import RecipeError, UsageError
from artpack.models import GPT, preset
from artpack.recipes import recipe_names
from artpack.training.data import Data
from artpack.training.initialise import initialise, matrices
from artpack.training.loop import Run
from artpack.training.optimizers import make_optimizers, set_rates
from artpack.training.recipe import load_training, training_names
from artpack.training.scale import scale_model
from artpack.training.settings import Init

from .conftest import FP32

SEEDS = [name for name in training_names() if name != "plain"]
BATCHES = ["batches.tokens=128", "batches.window_tokens=32", "batches.micro_tokens=64"]


NO_GRADIENT = r"scale_correction|inference_temp|parallel|bigram|ve_|\.0\.attn\.vr_lambda"
"""Corrections, the temperature and unused lanes get none; zero tables keep each other at zero."""


def small(name: str) -> GPT:
    config = scale_model(preset(name), vocab_size=300, layers=4, width=96)
    model = GPT(config)
    initialise(model, load_training(name).init, seed=0)
    return model


@pytest.mark.parametrize("name", SEEDS)
def test_three_steps_of_every_seed(name: str, data: Data) -> None:
    training = replace(load_training(name, BATCHES, steps=3), qat=None)
    config = scale_model(preset(name), vocab_size=data.vocab_size, layers=4, width=96)
    run = Run(training, config, data, FP32)
    before = {key: weight.clone() for key, weight in run.model.state_dict().items()}
    while run.done < 1:
        run.advance(run.done)
    assert run.log[-1]["loss"] < run.log[0]["loss"]
    moved = {key for key, weight in run.model.state_dict().items() if not weight.equal(before[key])}
    still = before.keys() - moved
    assert not [k for k in still if not re.search(NO_GRADIENT, k)]


@pytest.mark.parametrize("name", SEEDS)
def test_quantized_training_names_a_recipe_of_the_package(name: str) -> None:
    qat = load_training(name).qat
    assert qat is None or qat.recipe in recipe_names()


def test_pr2086_splits_its_parameters_as_published() -> None:
    model = GPT(preset("pr2086"))
    groups = load_training("pr2086").groups
    optimizers = make_optimizers(groups, dict(model.named_parameters()))
    counts = [len(optimizer.param_groups[0]["params"]) for optimizer in optimizers]
    assert counts[:2] == [1, 42]  # the table; 40 quinary matrices and two projections


def test_pr1123_gives_muon_82_tensors() -> None:
    groups = load_training("pr1123").groups
    model = GPT(preset("pr1123"))
    optimizers = make_optimizers(groups, dict(model.named_parameters()))
    assert [len(o.param_groups[0]["params"]) for o in optimizers] == [1, 82, 49]


@pytest.mark.parametrize(("name", "count"), [("pr826", 68), ("pr576", 68)])
def test_pr826_and_pr576_give_muon_68_matrices(name: str, count: int) -> None:
    optimizers = make_optimizers(
        load_training(name).groups, dict(GPT(preset(name)).named_parameters())
    )
    assert [len(o.param_groups[0]["params"]) for o in optimizers][:2] == [3, count]


def test_momentum_and_rate_follow_the_step() -> None:
    optimizers = make_optimizers(
        load_training("pr1934").groups, dict(small("pr1934").named_parameters())
    )
    set_rates(optimizers, step=750, factor=0.5)
    muon = optimizers[0].param_groups[0]
    assert (muon["momentum"], muon["lr"]) == (pytest.approx(0.945), pytest.approx(0.013))
    assert "momentum" not in optimizers[1].param_groups[0]


def test_initial_values_of_pr1934() -> None:
    weights = dict(matrices(small("pr1934")))
    for name in ("attn.c_q", "attn.c_k", "attn.c_v", "mlp.fc"):
        matrix = weights[f"blocks.3.{name}.weight"].double()
        wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
        torch.testing.assert_close(
            wide @ wide.T, torch.eye(len(wide), dtype=torch.float64), atol=1e-5, rtol=0
        )
    assert not weights["blocks.3.attn.proj.weight"].any()
    assert not weights["blocks.0.mlp.proj.weight"].any()
    assert weights["blocks.0.resid_mix"].tolist() == [[1.0] * 96, [0.0] * 96]
    assert float(weights["tok_emb.weight"].detach().std()) == pytest.approx(0.005, rel=0.03)
    assert weights["parallel_resid_lambdas"].eq(torch.tensor(1.1)).all()


def test_initial_values_follow_from_the_seed() -> None:
    first, again, other = (GPT(preset("lm6m")) for _ in range(3))
    for model, seed in ((first, 1), (again, 1), (other, 2)):
        initialise(model, load_training("plain").init, seed=seed)
    assert first.tok_emb.weight.equal(again.tok_emb.weight)
    assert not first.tok_emb.weight.equal(other.tok_emb.weight)


def test_an_initial_value_needs_as_many_values_as_rows() -> None:
    with pytest.raises(UsageError, match=r"3 values for 2 rows of blocks\.0\.resid_mix"):
        initialise(small("pr1934"), [Init("resid_mix", "values", values=(1, 2, 3))], seed=0)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("batches.token=1", r"unknown field 'token' \(did you mean 'tokens'\?\)"),
        ("groups.9.lr=1", "no '9' there"),
        ("z_loss", "write it as KEY=VALUE"),
        ("groups.0.lr=fast", r"plain\.groups\[0\]\.lr must be float, got 'fast'"),
        ("batches.tokens=100", "100 tokens are not whole passes"),
    ],
)
def test_a_wrong_override_is_told(override: str, fault: str) -> None:
    with pytest.raises(RecipeError, match=fault):
        load_training("plain", [override])


def test_an_unknown_recipe_is_told_its_neighbour() -> None:
    with pytest.raises(RecipeError, match=r"unknown training recipe 'pr1935' \(did you mean"):
        load_training("pr1935")


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("about = 'x'\nmodel = 'lm6m'\n")
    with pytest.raises(RecipeError, match="mine: field 'batches' is missing"):
        load_training(str(file))


def test_the_recipe_in_the_docs_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "TRAINING.md").read_text()
    file = tmp_path / "documented.toml"
    file.write_text(text.split("```toml\n")[1].split("```")[0])
    training = load_training(str(file))
    assert training.groups[0].muon is not None
    assert training.qat is not None
    assert training.schedule.seconds == 600
