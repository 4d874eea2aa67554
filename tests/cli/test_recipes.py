"""``artpack recipes``, and what recipes with data leave for ``artpack inspect``."""

import json
from pathlib import Path

import pytest
import torch

from artpack.calibration.file import Calibration
from artpack.checkpoint import from_state_dict, open_checkpoint
from artpack.recipes import recipe_names, recipe_text
from artpack.stages import Config
from tests.cli.conftest import Invoke


def test_the_list_has_every_recipe(invoke: Invoke) -> None:
    listed = invoke("recipes").out
    assert all(f"{name} " in listed for name in recipe_names())
    assert [spec["name"] for spec in json.loads(invoke("recipes", "--json").out)] == recipe_names()


@pytest.mark.parametrize("name", recipe_names())
def test_one_is_shown_as_it_is_written(name: str, invoke: Invoke) -> None:
    assert invoke("recipes", "show", name).out == recipe_text(name)[1].rstrip() + "\n"


def test_one_is_shown_as_data(invoke: Invoke) -> None:
    shown = json.loads(invoke("recipes", "show", "pr1934", "--json").out)
    assert shown["correction"]["top"] == 3
    assert shown["rules"]["mlp"]["rounding"]["precision"] == "fp32"


def test_an_unknown_recipe_is_named(invoke: Invoke) -> None:
    outcome = invoke("recipes", "show", "pr825")
    assert (outcome.code, outcome.out) == (2, "")
    assert "unknown recipe 'pr825' (did you mean 'pr826'?)" in outcome.err


@pytest.fixture
def with_data(checkpoint: Path, tmp_path: Path) -> Path:
    """Write an artifact whose matrices were rounded with data."""
    from artpack import save  # noqa: PLC0415 - the only test here that needs it

    with open_checkpoint(checkpoint) as source:
        weights = {info.name: source.read(info.name) for info in source.tensors}
    inputs = torch.randn(64, 32, generator=torch.Generator().manual_seed(1)).cumsum(dim=1)
    inputs[:, 5] = 0
    hessians = {name: inputs.T @ inputs / 64 for name in weights if name != "norm"}
    recipe = tmp_path / "mine.toml"
    rounding = 'rounding = "gptq"\nquantizer = '
    recipe.write_text(recipe_text("int4")[1].replace("quantizer = ", rounding, 1))
    fingerprint: Config = {"weights_sha256": from_state_dict(weights).weights_sha256}
    calibration = Calibration(hessians, {}, {}, 64, fingerprint)
    save(weights, tmp_path / "a.artpack", recipe=str(recipe), calibration=calibration)
    return tmp_path / "a.artpack"


def test_inspect_shows_what_quantizing_cost(with_data: Path, invoke: Invoke) -> None:
    tensors = json.loads(invoke("inspect", with_data, "--json").out)["tensors"]
    reports = {tensor["name"]: tensor["report"] for tensor in tensors}
    assert reports.pop("norm") is None
    for report in reports.values():
        assert report["dead_columns"] == 1
        assert report["weighted_error"] > 0
        assert 0.05 < report["relative_error"] < 0.5
        assert report["mean_squared_error"] == pytest.approx(
            report["relative_error"] ** 2,
            rel=0.1,  # the weights are of unit variance
        )
    table = invoke("inspect", with_data).out
    assert "weighted error" in table
    assert "dead columns" in table
    markdown = invoke("inspect", with_data, "--markdown").out
    assert "| tensor | weighted error | relative error |" in markdown


def test_inspect_of_a_file_without_data_has_no_second_table(
    checkpoint: Path, invoke: Invoke, tmp_path: Path
) -> None:
    path = tmp_path / "b.artpack"
    assert invoke("compress", checkpoint, "-o", path, "--recipe", "int4").code == 0
    assert "weighted error" not in invoke("inspect", path).out


def test_a_recipe_that_needs_data_fails_with_one_line(checkpoint: Path, invoke: Invoke) -> None:
    outcome = invoke("compress", checkpoint, "--recipe", "int6", "--set", "matrices.rounding=gptq")
    assert outcome.code == 2
    assert "recipe 'int6' rounds with data: give --calibration or --calibration-tokens" in (
        outcome.err
    )
    assert outcome.err.count("\n") == 1
