"""Inputs of graphs, from all that people have them in; and what is none."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artpack.errors import UsageError
from artpack.runners.onnx import read_batches, spread
from tests.graphs import tiny
from tests.runners.onnx.conftest import Start

X = np.ones((4, 3, 48), np.float32)


def test_samples_are_batches_or_parts_of_one() -> None:
    made = tiny.perceptron()

    stacked = read_batches({"x": X}, made)
    flat = read_batches({"x": X[:, 0]}, made)

    assert [batch["x"].shape for batch in stacked] == [(3, 48)] * 4
    assert [batch["x"].shape for batch in flat] == [(1, 48)] * 4


def test_a_few_of_many() -> None:
    batches = tuple({"x": np.array([i])} for i in range(10))

    assert [int(batch["x"][0]) for batch in spread(batches, 4)] == [0, 3, 6, 9]
    assert spread(batches, 10) == batches


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ({}, "`calibration_batches`: there are none"),
        ([], "`calibration_batches`: there are none"),
        ({"x": X[:0]}, "`calibration_batches`: there are none"),
        ([X], "a graph takes arrays by the names of its inputs, got ndarray"),
        ({"y": X}, "the graph has the inputs x, got y"),
        ({"x": X, "y": X}, "the graph has the inputs x, got x, y"),
        ({"x": X, "y": X[:2]}, "each array has as many samples, got x 4, y 2"),
        ({"x": np.array(["a", "b"])}, "'x' is <U1, and no numbers"),
        ({"x": X * np.nan}, "'x' has a value that is not finite"),
        ({"x": X + 1j}, "'x' is complex64, and no numbers"),
    ],
)
def test_what_is_no_input(source: Any, fault: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_batches(source, tiny.perceptron())

    assert fault in str(caught.value)


@pytest.mark.parametrize("x", [X[..., :40], X[0, 0], X.astype(np.int64)[..., None]])
def test_what_the_graph_does_not_take(x: np.ndarray, start: Start) -> None:
    run = start(tiny.perceptron(), [{"x": x}])

    with pytest.raises(UsageError, match=r"in a batch, the graph takes tensor\(float\)"):
        run.collect()


def test_files_that_are_none(tmp_path: Path) -> None:
    made = tiny.perceptron()
    np.save(tmp_path / "one.npy", X)
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "whole.npz", x=X)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    np.savez(tmp_path / "objects.npz", x=np.array([None], object))

    for name, fault in {
        "one.npy": "a damaged .npz file of named arrays, or none",
        "text.npz": "a damaged .npz file of named arrays, or none",
        "cut.npz": "a damaged .npz file of named arrays, or none",
        "objects.npz": "'x': no array of numbers",
        "none.npz": "cannot be read",
    }.items():
        with pytest.raises(UsageError) as caught:
            read_batches(tmp_path / name, made)
        assert str(caught.value).startswith(f"{tmp_path / name}: {fault}")


def test_without_the_package(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.perceptron()
    run = start(made, tiny.inputs_of(made))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(UsageError, match=r"optional extra: pip install 'artpack\[onnx\]'"):
        run.collect()


def test_what_onnxruntime_cannot_run(start: Start) -> None:
    made = tiny.perceptron()
    made.graph.node[1].op_type = "NoSuchNode"
    run = start(made, tiny.inputs_of(made))

    with pytest.raises(UsageError, match="onnxruntime cannot run this graph: ") as caught:
        run.collect()
    assert "\n" not in str(caught.value)
