"""The error of a graph's outputs, against what its definition says."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from artpack.errors import UsageError
from artpack.runners.onnx import loss as module
from tests.graphs import tiny
from tests.runners.onnx.conftest import Start


@pytest.mark.parametrize("name", tiny.GRAPHS)
def test_nothing_changes_nothing(name: str, start: Start) -> None:
    made = tiny.GRAPHS[name]()
    inputs = tiny.inputs_of(made, 2)
    loss = start(made, {one: np.abs(values) for one, values in inputs.items()}).loss()

    assert loss({}) == 0


def test_relative_to_the_variance(start: Start) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    w = tiny.random(48, 40)
    made = tiny.model(tiny.graph([node], {"x": ["n", 48]}, {"y": ["n", 40]}, {"w": w}))
    x = tiny.inputs_of(made)["x"]
    other = w + tiny.random(48, 40, seed=1) / 10

    found = start(made, {"x": x}).loss()({"w": torch.from_numpy(other.T.copy())})

    wanted = np.square(x @ (other - w)).sum() / np.square(x @ w - (x @ w).mean()).sum()
    assert found == pytest.approx(wanted, rel=1e-4)


def test_outputs_count_alike(start: Start) -> None:
    made = tiny.tied()
    table = torch.from_numpy(tiny.random(64, 32, seed=1))
    loss = start(made, {"x": np.arange(24.0).reshape(8, 3)}).loss()

    y = table[:24] @ table.T
    errors = [float((0.21 * y).square().sum() / (y - y.mean()).square().sum())]
    z = table[:24]
    errors.append(float((0.1 * z).square().sum() / (z - z.mean()).square().sum()))
    assert loss({"table": 1.1 * table}) == pytest.approx(np.mean(errors), rel=1e-4)


def test_slices_of_a_stack_are_replaced(start: Start) -> None:
    made = tiny.recurrent()
    loss = start(made, tiny.inputs_of(made)).loss()

    assert loss({"w.0": torch.zeros(128, 40)}) > 0.1
    assert loss({"w.0": torch.zeros(128, 40)}) != loss({"w.1": torch.zeros(128, 40)})
    assert loss({}) == 0


def test_a_share_of_many_outputs(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.perceptron()
    replaced = {"w1": torch.zeros(64, 48)}
    whole = start(made, tiny.inputs_of(made)).loss()(replaced)
    monkeypatch.setattr(module, "MAX_OUTPUTS", 200)

    assert start(made, tiny.inputs_of(made)).loss()(replaced) == pytest.approx(whole, rel=0.3)


def test_unknown_tensors_are_named(start: Start) -> None:
    made = tiny.perceptron()

    with pytest.raises(UsageError, match="the graph has no tensor 'w9'"):
        start(made, tiny.inputs_of(made)).loss()({"w9": torch.zeros(2)})


def test_a_graph_without_floats_has_no_loss(start: Start) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("ArgMax", ["a"], ["y"], axis=1),
    ]
    whole = tiny.graph(nodes, {"x": ["n", 48]}, {"y": ["n", 1]}, {"w": tiny.random(48, 40)})
    whole.output[0].type.tensor_type.elem_type = TensorProto.INT64
    made = tiny.model(whole)

    with pytest.raises(UsageError, match="no output of floating point"):
        start(made, tiny.inputs_of(made)).loss()
