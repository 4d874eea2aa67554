"""Graphs are packed with what is known of their inputs."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

import artpack
from artpack.calibration.file import read_calibration
from artpack.errors import UsageError
from tests.graphs import tiny

Floats = NDArray[np.float32]


def correlated(count: int, seed: int) -> Floats:
    """Make inputs of 48 numbers that mostly follow 6."""
    draw = np.random.default_rng(seed)
    few = draw.standard_normal((count, 4, 6))
    whole = few @ np.random.default_rng(0).standard_normal((6, 48))
    return (whole + 0.05 * draw.standard_normal(whole.shape)).astype(np.float32)


def error_of(packed: Path, source: Path, x: Floats) -> float:
    """Return the squared error of unseen outputs, relative to their variance."""
    target = packed.with_suffix(".onnx")
    artpack.unpack(packed, target)
    outputs = []
    for path in (source, target):
        session = onnxruntime.InferenceSession(path)
        outputs.append(np.concatenate([session.run(None, {"x": one})[0] for one in x]))
    return float(np.square(outputs[1] - outputs[0]).sum() / np.square(outputs[0]).sum())


def test_data_are_worth_it(tmp_path: Path) -> None:
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    blind = artpack.compress(source, recipe="frontier", profile="fast", budget=4000)
    blind.save(tmp_path / "blind.artpack")

    known = artpack.compress(
        source,
        profile="fast",
        budget=4000,
        calibration_batches={"x": correlated(32, seed=1)},
    )
    known.save(tmp_path / "known.artpack")

    assert known.size_bytes <= 4000
    unseen = correlated(16, seed=2)
    errors = [error_of(tmp_path / f"{name}.artpack", source, unseen) for name in ("blind", "known")]
    assert errors[1] < errors[0] / 2
    assert known.loss == pytest.approx(errors[1], rel=0.5)
    assert known.loss_unit == "of the outputs' variance"
    assert known.loss_nats is None


def test_a_calibration_is_kept_and_read(tmp_path: Path) -> None:
    source = tiny.save(tiny.convolution(), tmp_path / "a.onnx")
    np.savez(tmp_path / "x.npz", x=tiny.inputs_of(tiny.convolution())["x"])
    file = tmp_path / "a.calibration"

    first = artpack.compress(
        source, profile="fast", calibration=file, calibration_batches=tmp_path / "x.npz"
    )
    again = artpack.compress(
        source, profile="fast", calibration=file, calibration_batches=tmp_path / "x.npz"
    )
    alone = artpack.compress(source, profile="fast", calibration=file)

    assert first.content() == again.content()
    assert alone.size_bytes == first.size_bytes
    assert read_calibration(file).hessians["k1"].shape == (18, 18)
    with pytest.raises(UsageError, match="is for other data"):
        artpack.compress(
            source, calibration=file, calibration_batches=tiny.inputs_of(tiny.convolution(), 3)
        )
    other = tiny.save(tiny.perceptron(), tmp_path / "b.onnx")
    with pytest.raises(UsageError, match="the calibration is for other weights"):
        artpack.compress(other, calibration=file)


def test_other_recipes_report_their_errors(tmp_path: Path) -> None:
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")

    result = artpack.compress(
        source,
        recipe="pr1123",
        profile="fast",
        calibration_batches={"x": correlated(32, seed=1)},
    )

    assert result.reports.keys() >= {"w1", "w2", "w3"}


def test_what_does_not_go_together(tmp_path: Path) -> None:
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")

    with pytest.raises(UsageError, match="a graph has inputs of its own"):
        artpack.compress(source, calibration_tokens=np.arange(9))
    with pytest.raises(UsageError, match="nothing to run"):
        artpack.compress({"w": torch.eye(3)}, calibration_batches={"x": np.eye(3)})
