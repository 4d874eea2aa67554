"""The packing jobs through the API alone: calibrate, compress to a goal, sweep, load."""

from functools import partial
from pathlib import Path

import pytest
import torch

import artpack
from artpack import BudgetError, CompressInputs, Scoring, UsageError
from artpack.evaluation.tokens.shards import read_tokens
from artpack.models import build, read_config
from artpack.stages.parsing import parse_json
from tests.api.conftest import Told


def test_a_budget_is_hit_in_memory_and_each_phase_is_told(small: Path, told: Told) -> None:
    weights = torch.load(small / "ckpt.pt", weights_only=True)
    ids = read_tokens(str(small / "calib.bin"))
    config = read_config(parse_json((small / "config.json").read_text()))
    calibration = artpack.calibrate(weights, ids, model=config, window_tokens=32, progress=told)
    result = artpack.compress(
        weights, budget=40_000, calibration=calibration, model=config, progress=told, profile="fast"
    )
    told.check("calibrating", "quantizing", "packing")
    assert 39_800 <= result.size_bytes <= 40_000
    assert result.size_bytes == len(result.content()) == result.save(small / "a.bin")
    assert result.recipe == "frontier"
    assert result.trials
    assert set(result.reports) <= set(weights)
    assert f"{result.size_bytes:,} bytes" in repr(result)
    assert set(artpack.load(small / "a.bin")) == set(weights)


def test_a_loss_is_not_exceeded(small: Path, told: Told) -> None:
    scoring = Scoring(small / "val.bin", small / "sp.model")
    result = artpack.compress(
        small / "ckpt.pt",
        max_loss_increase=0.05,
        calibration_tokens=small / "calib.bin",
        scoring=scoring,
        progress=told,
        profile="fast",
    )
    told.check("calibrating", "quantizing", "packing", "scoring")
    assert result.comparison is not None
    assert result.comparison.bits_per_byte_increase.value <= 0.05
    assert result.loss_nats is not None
    worth = result.worth_of(result.loss_nats)
    assert worth is not None
    assert 0 < worth < result.loss_nats


def test_weights_are_learned_while_quantizing(small: Path, told: Told) -> None:
    artpack.compress(
        small / "ckpt.pt",
        recipe="frontier",
        calibration_tokens=read_tokens(str(small / "calib.bin")),
        tune_steps=2,
        progress=told,
        profile="fast",
    )
    told.check("learning")


def test_a_calibration_of_other_weights_is_refused_on_every_road(small: Path) -> None:
    calibration = artpack.calibrate(small / "ckpt.pt", small / "calib.bin", window_tokens=32)
    weights = torch.load(small / "ckpt.pt", weights_only=True)
    other = {name: weight + 1 for name, weight in weights.items()}
    for call in (
        lambda: artpack.compress(other, calibration=calibration),
        lambda: artpack.save(other, small / "a.bin", calibration=calibration),
        lambda: artpack.sweep(CompressInputs(source=other, calibration=calibration), [40_000]),
    ):
        with pytest.raises(UsageError, match="for other weights"):
            call()


def test_a_sweep_has_a_point_for_each_file(small: Path, told: Told) -> None:
    inputs = CompressInputs(source=small / "ckpt.pt", calibration_tokens=small / "calib.bin")
    seen: list[str] = []
    curve = artpack.sweep(
        inputs,
        [40_000],
        made=lambda point: seen.append(point.recipe),
        progress=told,
        profile="fast",
    )
    told.check("packing")
    assert seen == [point.recipe for point in curve.points]
    assert curve.points[0].recipe == "frontier"
    assert curve.points[0].bytes <= 40_000
    assert all(point.kl_nats >= 0 for point in curve.points)
    header = curve.to_csv().splitlines()[0]
    assert header == "recipe,budget,bytes,kl_nats,seconds"


def test_a_module_gets_its_weights_back(small: Path) -> None:
    config = read_config(parse_json((small / "config.json").read_text()))
    weights = torch.load(small / "ckpt.pt", weights_only=True)
    module = build(config, weights)
    artpack.compress(module, recipe="lossless", profile="fast").save(small / "a.bin")
    other = build(config, {name: torch.zeros_like(weight) for name, weight in weights.items()})
    assert artpack.load_into(other, small / "a.bin") == ([], [])
    for name, weight in other.state_dict().items():
        assert torch.equal(weight, weights[name].to(weight.dtype))


def test_another_module_is_refused_unless_it_is_not_strict(small: Path) -> None:
    artpack.compress(small / "ckpt.pt", recipe="int8", profile="fast").save(small / "a.bin")
    module = torch.nn.Linear(3, 3)
    with pytest.raises(UsageError, match="of another module: it lacks 'weight' and 1 more"):
        artpack.load_into(module, small / "a.bin")
    found = artpack.load_into(module, small / "a.bin", strict=False)
    assert found.missing_keys == ["weight", "bias"]


def test_an_artifact_is_a_mapping_that_accounts_for_its_bytes(small: Path) -> None:
    size = artpack.compress(small / "ckpt.pt", recipe="int6", profile="fast").save(small / "a.bin")
    weights = torch.load(small / "ckpt.pt", weights_only=True)
    with artpack.open(small / "a.bin") as artifact:
        assert list(artifact) == list(artifact.keys()) == list(weights)
        assert "tok_emb.weight" in artifact
        assert "nothing" not in artifact
        assert {name: tensor.shape for name, tensor in artifact.items()} == {
            name: weight.shape for name, weight in weights.items()
        }
        assert artifact.model is not None
        rows = artifact.inspect()
        told = sum(row.stored_bytes for row in rows.tensors) + sum(rows.overhead.values())
        assert told == rows.file_bytes == size
        assert f"{size:,}" in repr(artifact)
        assert "in all" in repr(rows)


def test_unpack_and_verify(small: Path) -> None:
    artpack.compress(small / "ckpt.pt", recipe="int8", profile="fast").save(small / "a.bin")
    count, size = artpack.unpack(small / "a.bin", small / "b.safetensors")
    assert count == len(artpack.load(small / "a.bin"))
    assert size == (small / "b.safetensors").stat().st_size
    found = artpack.verify(small / "a.bin", against=small / "ckpt.pt")
    assert not found.faults
    assert all(error.relative < 0.05 for error in found.errors)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"budget": 300}, BudgetError, "nothing fits into 300 bytes"),
        ({"budget": 20_000, "max_loss_increase": 0.1}, UsageError, "`budget` and `max_loss"),
        ({"max_loss_increase": 0.1}, UsageError, "give `scoring`"),
        ({"code_bytes": 1000}, UsageError, "give `budget`"),
        ({"recipe": "int8", "tune_steps": 1}, UsageError, "leave `tune_steps` out"),
        ({"tune_steps": 1, "budget": 40_000}, UsageError, "give `calibration_tokens`"),
        ({"average": "ema"}, UsageError, "`average` 'ema' and `decay` go together"),
        ({"deadline_s": float("nan")}, UsageError, "`deadline_s` must be"),
    ],
)
def test_errors_name_arguments_and_no_flags(
    small: Path, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        artpack.compress(small / "ckpt.pt", profile="fast", **options)  # type: ignore[arg-type]
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("tokens", [[1, 2, 3], torch.tensor([1, 2]), 7])
def test_tokens_that_are_neither_path_nor_array_are_refused(small: Path, tokens: object) -> None:
    for call in (artpack.calibrate, partial(artpack.evaluate, tokenizer=small / "sp.model")):
        with pytest.raises(UsageError, match="`tokens`: a path or a numpy array of ids"):
            call(small / "ckpt.pt", tokens)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [{"precision": "fp64"}, {"batch_tokens": 0}])
def test_settings_are_checked(values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="must be"):
        artpack.Settings(**values)  # type: ignore[arg-type]
