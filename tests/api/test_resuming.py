"""Long work that is ended goes on where it was, and its result is the same to the byte."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import artpack
from artpack.calibration.file import write_calibration
from artpack.models import PRESETS
from artpack.runners.settings import Settings
from artpack.system import run_folder
from artpack.system.run_folder import RunFolder
from tests.graphs import tiny
from tests.models.conftest import random_weights, shrink

CONFIG = replace(shrink(PRESETS["lm6m"].config), num_layers=1)
WEIGHTS = random_weights(CONFIG)
TOKENS = np.random.default_rng(0).integers(0, 61, 4_096).astype(np.uint16)


class Ended(BaseException):
    """Ends a run as a signal does."""


class Ending(RunFolder):
    """A run folder that ends the run once it has kept so many results."""

    def __init__(self, path: Path, runs: int) -> None:
        super().__init__(path, "test")
        self.left, self.names = runs, list[str]()

    def keep(
        self, name: str, inputs: Any, content: Callable[[], Iterable[bytes]], *, seconds: float
    ) -> None:
        super().keep(name, inputs, content, seconds=seconds)
        self.names.append(name)
        self.left -= 1
        if not self.left:
            raise Ended


@pytest.fixture(autouse=True)
def _everything_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "LEAST_S", 0.0)
    monkeypatch.setattr(run_folder, "EVERY_S", 0.0)


Make = Callable[[RunFolder | None], bytes]


def names_when_ended_after_each(make: Make, path: Path) -> list[str]:
    """End work after each result that it keeps, compare what it makes, and name the results."""
    expected, names = make(None), list[str]()
    for _ in range(99):
        folder = Ending(path, 1)
        try:
            content = make(folder)
        except Ended:
            names += folder.names
            continue
        assert content == expected
        assert not folder.names
        folder.remove()
        assert not path.exists()
        return names
    raise AssertionError(names)


def test_a_calibration_goes_on_in_the_middle_of_a_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artpack.calibration.collect.SHARES", 3)

    def make(folder: RunFolder | None) -> bytes:
        found = artpack.calibrate(
            WEIGHTS,
            TOKENS[: 7 * 16],
            model=CONFIG,
            window_tokens=16,
            settings=Settings(batch_tokens=16),
            run_folder=folder,
        )
        write_calibration(tmp_path / "a", found)
        return (tmp_path / "a").read_bytes()

    names = names_when_ended_after_each(make, tmp_path / "run")
    assert names == ["sums-0"] * (7 + 3)  # batches and shares


@pytest.mark.parametrize(
    ("goal", "kept"),
    [
        ({"budget": 8_000}, {"sums-0", "draft", "file"}),
        pytest.param(
            {"max_loss_increase": 0.01}, {"sums-0", "file", "loss"}, marks=pytest.mark.slow
        ),
        ({"tune_steps": 7, "recipe": "frontier"}, {"sums-0", "learning", "file"}),
    ],
)
def test_a_search_goes_on_after_each_file(
    tmp_path: Path, goal: dict[str, Any], kept: set[str]
) -> None:
    def make(folder: RunFolder | None) -> bytes:
        result = artpack.compress(
            WEIGHTS,
            model=CONFIG,
            calibration_tokens=TOKENS[:256],
            profile="fast",
            jobs=1,
            run_folder=folder,
            **goal,
        )
        said = (result.loss, result.notes, result.reports)
        return result.content() + repr(said).encode()

    assert set(names_when_ended_after_each(make, tmp_path / "run")) == kept


@pytest.mark.slow
def test_the_search_of_a_graph_does_not_measure_sensitivities_again(tmp_path: Path) -> None:
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    batches = {"x": np.random.default_rng(1).standard_normal((8, 4, 48)).astype(np.float32)}

    def make(folder: RunFolder | None) -> bytes:
        return artpack.compress(
            source, profile="fast", budget=4000, calibration_batches=batches, run_folder=folder
        ).content()

    names = names_when_ended_after_each(make, tmp_path / "run")
    assert set(names) == {"sensitivities", "draft", "file"}


@pytest.mark.slow
def test_a_curve_goes_on_after_each_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artpack.api.sweep.recipe_names", lambda: ["int4", "lossless", "pr1934"])

    def make(folder: RunFolder | None) -> bytes:
        choice = artpack.CompressInputs(
            source=WEIGHTS,
            model=CONFIG,
            calibration_tokens=TOKENS[:256],
            run_folder=folder,
        )
        curve = artpack.sweep(choice, [8_000], profile="fast")
        points = [replace(point, seconds=0.0) for point in curve.points]
        return repr((points, curve.notes)).encode()

    names = names_when_ended_after_each(make, tmp_path / "run")
    assert names.count("point") == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sums-0", "learning", "draft", "file", "point"])
def test_results_of_another_shape_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A result is named by its content, so these are sound files with something else in them."""
    found = RunFolder.find

    def find(folder: RunFolder, asked: str, inputs: Any) -> Path | None:
        file = found(folder, asked, inputs)
        return tmp_path / "other" if file is not None and asked == name else file

    monkeypatch.setattr(RunFolder, "find", find)
    monkeypatch.setattr("artpack.api.sweep.recipe_names", list)

    def make() -> list[bytes]:
        run = RunFolder(tmp_path / "run", "test")
        given: dict[str, Any] = {"model": CONFIG, "calibration_tokens": TOKENS[:64]}
        how: dict[str, Any] = {"profile": "fast", "run_folder": run}
        packed = artpack.compress(WEIGHTS, **given, **how, recipe="frontier", tune_steps=2)
        choice = artpack.CompressInputs(source=WEIGHTS, **given, run_folder=run)
        (point,) = artpack.sweep(choice, [8_000], profile="fast").points
        return [packed.content(), repr(replace(point, seconds=0.0)).encode()]

    (tmp_path / "other").write_bytes(b'{"about": {"done": 1}, "tensors": []}\n')
    assert make() == make()
