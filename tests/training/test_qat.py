"""The model in training runs on exactly what the packed file gives back."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from artpack.artifact.reader import open_artifact
from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.selection import select
from artpack.coding.profiles import profile_named
from artpack.errors import UsageError
from artpack.models import GPT, preset
from artpack.pack.compress import compress
from artpack.pack.prepare import prepare
from artpack.quantize import QUANTIZERS
from artpack.quantize.rounding.row_rounding import Nearest
from artpack.recipes import load_recipe
from artpack.recipes.spec import PlanSpec
from artpack.training.initialise import initialise
from artpack.training.qat import packed_weights, store
from artpack.training.scale import scale_model
from artpack.training.settings import Init
from artpack.training.size_loss import bits_per_weight

FAST = profile_named("fast")
NOISE = (Init("", "normal", 0.3),)


def random_model(name: str, width: int = 48) -> GPT:
    config = scale_model(preset(name), vocab_size=300, layers=3, width=width)
    model = GPT(replace(config, simulated=()))
    initialise(model, NOISE, seed=0)
    return model


def unpacked(model: GPT, spec: PlanSpec, folder: Path) -> dict[str, torch.Tensor]:
    """Pack a model's weights into a file and take them out again."""
    torch.save(model.state_dict(), folder / "ckpt.pt")
    with open_checkpoint(folder / "ckpt.pt") as checkpoint:
        content = compress(checkpoint, select(checkpoint), spec, profile=FAST).content()
    with open_artifact(content) as artifact:
        return artifact.load()


@pytest.mark.parametrize(
    ("name", "recipe"), [("lm6m", "int6"), ("pr1934", "quinary"), ("pr2086", "quinary")]
)
def test_weights_in_training_are_the_unpacked_ones_bit_for_bit(
    name: str, recipe: str, tmp_path: Path
) -> None:
    model, spec = random_model(name), load_recipe(recipe)
    parameters = dict(model.named_parameters())
    seen = packed_weights(model.config, parameters, store(model.config, parameters, spec))
    back = unpacked(model, spec, tmp_path)
    assert seen.keys() == back.keys()
    for key, weight in seen.items():
        assert weight.detach().equal(back[key].float()), key


def test_steps_and_pruning_of_a_recipe_are_those_of_the_packer(tmp_path: Path) -> None:
    """Recipes that round with data do all but that in the loop."""
    model = random_model("lm6m")
    asked = load_recipe("pr576", ["blocks.min_weights=1", "tables.min_weights=1"])
    rules = [replace(rule, rounding=Nearest()) for rule in asked.rules]
    spec = replace(asked, rules=tuple(rules))
    torch.save(model.state_dict(), tmp_path / "ckpt.pt")
    with open_checkpoint(tmp_path / "ckpt.pt") as checkpoint:
        prepared = prepare(checkpoint, select(checkpoint), spec, None)
    stored = store(model.config, dict(model.named_parameters()), asked)
    assert {"tok_emb.weight", "blocks.0.mlp.fc.weight"} <= prepared.keys()
    for key, one in prepared.items():
        assert stored[key].value.equal(one.quantizer.dequantize(one.quantized)), key


@pytest.mark.parametrize("quantizer", [q for q in QUANTIZERS if q in ("row-pentanary", "fp8")])
def test_every_grid_without_fields_is_met(quantizer: str) -> None:
    model = random_model("lm6m")
    stage = QUANTIZERS[quantizer].from_config({})
    spec = PlanSpec("one", "", (replace(load_recipe("int8").rules[0], quantizer=stage),))
    parameters = dict(model.named_parameters())
    stored = store(model.config, parameters, spec)
    seen = packed_weights(model.config, parameters, stored)
    for key, one in stored.items():
        assert seen[key].detach().equal(stage.dequantize(stage.quantize(one.weight)))


@pytest.mark.parametrize("name", ["lm6m", "pr1934"])
def test_gradients_pass_straight_through(name: str) -> None:
    model, spec = random_model(name), load_recipe("quinary")
    parameters = dict(model.named_parameters())
    seen = packed_weights(model.config, parameters, store(model.config, parameters, spec))
    for key, weight in seen.items():
        torch.autograd.backward(weight.sum())
        gradient = parameters[key].grad
        assert gradient is not None
        assert gradient.eq(1).all(), key


def test_a_weight_that_does_not_fit_its_grid_is_named() -> None:
    model = random_model("lm6m")
    with torch.no_grad():
        model.tok_emb.weight[3, 4] = float("inf")
    with pytest.raises(UsageError, match=r"tensor 'tok_emb.weight': weight inf at \[3, 4\]"):
        store(model.config, dict(model.named_parameters()), load_recipe("int6"))


def test_bits_per_weight_are_the_entropy_of_the_codes() -> None:
    """On weights that lie on their levels, the charge is the code length itself."""
    model, spec = random_model("lm6m"), load_recipe("int4")
    parameters = dict(model.named_parameters())
    on_grid = {
        key: one.value.requires_grad_()
        for key, one in store(model.config, parameters, spec).items()
        if one.quantizer.label == "int4"
    }
    stored = store(model.config, on_grid, spec)
    lengths, weights = 0.0, 0
    for one in stored.values():
        counts = torch.bincount(torch.from_numpy(one.quantized.parts["codes"]).flatten().long())
        probability = counts[counts > 0] / counts.sum()
        lengths -= float((counts[counts > 0] * probability.log2()).sum())
        weights += one.weight.numel()
    # The count of each symbol starts at 1, which costs a little.
    found = float(bits_per_weight(stored.values()).detach())
    assert found == pytest.approx(lengths / weights, rel=2e-3)


def test_the_charge_points_to_commoner_symbols() -> None:
    model, spec = random_model("lm6m"), load_recipe("int4")
    parameters = dict(model.named_parameters())
    stored = store(model.config, parameters, spec)
    torch.autograd.backward(bits_per_weight(stored.values()))
    weight = parameters["blocks.0.mlp.fc.weight"]
    assert weight.grad is not None
    # Gaussian weights: 0 is the commonest, so a step against the gradient shrinks them.
    assert float((weight.grad * weight.detach()).sum()) > 0
    assert parameters["blocks.0.attn_scale"].grad is None
