"""The graph tells from which side its matrices are multiplied, and which are quantized."""

from typing import Any

import pytest
from onnx import ModelProto, helper

from artpack.graphs import find_exact, find_transposed, find_uses, inlined
from tests.graphs import tiny


@pytest.mark.parametrize(
    ("name", "transposed"),
    [
        ("perceptron", {"w1", "w3"}),
        ("convolution", set()),
        ("recurrent", set()),
        ("tied", set()),
        ("branches", {"w", "w.2"}),
        ("loop", {"w"}),
        ("function", {"w1"}),
        ("quantized", {"w3"}),
        ("halves", {"w"}),
    ],
)
def test_sides(name: str, transposed: set[str]) -> None:
    found = find_transposed(find_uses(inlined(tiny.GRAPHS[name]())))

    assert {one for one in found if "own" not in one} == transposed


def multiplied(*nodes: tuple[str, list[str], str, dict[str, Any]]) -> ModelProto:
    made = [helper.make_node(kind, taken, [out], **more) for kind, taken, out, more in nodes]
    return tiny.model(
        tiny.graph(made, {"x": [48, 48]}, {"y": [48, 48]}, {"w": tiny.random(48, 48)})
    )


@pytest.mark.parametrize(
    ("nodes", "is_transposed"),
    [
        ([("MatMul", ["w", "x"], "y", {})], False),
        ([("Gemm", ["w", "x"], "y", {"transA": 1})], True),
        ([("Gemm", ["x", "w"], "y", {"transA": 1})], True),
        ([("Transpose", ["w"], "t", {}), ("MatMul", ["x", "t"], "y", {})], False),
        ([("Cast", ["w"], "t", {"to": 1}), ("MatMul", ["x", "t"], "y", {})], True),
        ([("MatMul", ["w", "x"], "a", {}), ("MatMul", ["a", "w"], "y", {})], False),
        ([("Relu", ["w"], "t", {}), ("MatMul", ["x", "t"], "y", {})], False),
    ],
)
def test_a_matrix_is_followed(
    nodes: list[tuple[str, list[str], str, dict[str, Any]]], *, is_transposed: bool
) -> None:
    found = find_transposed(find_uses(multiplied(*nodes)))

    assert found == (frozenset({"w"}) if is_transposed else frozenset())


def test_an_input_of_a_body_hides_a_weight() -> None:
    made = tiny.loop()
    made.graph.initializer.append(tiny.tensor("state", tiny.random(32, 32)))

    names = [use.origin.name for use in find_uses(made)]

    assert "state" not in names


def test_quantized_tensors_are_exact() -> None:
    exact = find_exact(find_uses(tiny.quantized()))

    assert exact == {"codes", "scales", "zeros", "w2", "w2_scales"}
    for name in tiny.GRAPHS.keys() - {"quantized"}:
        assert not find_exact(find_uses(tiny.GRAPHS[name]()))
