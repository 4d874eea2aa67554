"""Small graphs, each with another of the things that real ones have."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def tensor(name: str, values: NDArray[np.generic]) -> TensorProto:
    return numpy_helper.from_array(values, name)


def graph(
    nodes: list[NodeProto],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    weights: dict[str, NDArray[np.generic]],
) -> GraphProto:
    return helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [tensor(name, values) for name, values in weights.items()],
    )


def model(whole: GraphProto, **more: object) -> ModelProto:
    made = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **more
    )
    made.metadata_props.add(key="author", value="nobody")
    return made


def perceptron() -> ModelProto:
    """Three matrices: (inputs, outputs), (outputs, inputs), and (inputs, outputs) with a bias."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "w2"], ["c"], transB=1),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "w3", "bias"], ["y"]),
    ]
    weights: dict[str, NDArray[np.generic]] = {
        "w1": random(48, 64, seed=1) / 7,
        "w2": random(40, 64, seed=2) / 8,
        "w3": random(40, 33, seed=3) / 6,
        "bias": random(33, seed=4),
    }
    return model(graph(nodes, {"x": ["n", 48]}, {"y": ["n", 33]}, weights))


def convolution() -> ModelProto:
    """Groups, strides, holes and padding that differs from side to side."""
    nodes = [
        helper.make_node(
            "Conv",
            ["x", "k1", "bias"],
            ["a"],
            group=2,
            strides=[2, 1],
            dilations=[1, 2],
            pads=[1, 2, 0, 1],
        ),
        helper.make_node("Conv", ["a", "k2"], ["y"], auto_pad="SAME_UPPER"),
    ]
    weights: dict[str, NDArray[np.generic]] = {
        "k1": random(32, 3, 3, 2, seed=1),
        "bias": random(32, seed=2),
        "k2": random(32, 32, 3, 2, seed=3),
    }
    return model(graph(nodes, {"x": ["n", 6, 9, 8]}, {"y": ["n", 32, "h", "w"]}, weights))


def recurrent(direction: str = "bidirectional") -> ModelProto:
    """An LSTM that goes both ways."""
    ways = 2 if direction == "bidirectional" else 1
    node = helper.make_node(
        "LSTM", ["x", "w", "r"], ["y", "h"], hidden_size=32, direction=direction
    )
    weights: dict[str, NDArray[np.generic]] = {
        "w": random(ways, 128, 40, seed=1) / 4,
        "r": random(ways, 128, 32, seed=2) / 4,
    }
    whole = graph([node], {"x": [5, "n", 40]}, {"y": [5, ways, "n", 32]}, weights)
    return model(whole)


def tied() -> ModelProto:
    """A table that is looked up and, transposed, multiplied with; and a copy of it."""
    nodes = [
        helper.make_node("Cast", ["x"], ["ids"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "ids"], ["a"]),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["a", "turned"], ["y"]),
        helper.make_node("Gather", ["copy", "ids"], ["z"]),
    ]
    table = random(64, 32, seed=1)
    outputs: dict[str, list[int | str]] = {"y": ["n", 64], "z": ["n", 32]}
    return model(graph(nodes, {"x": ["n"]}, outputs, {"table": table, "copy": table}))


def branches() -> ModelProto:
    """Two branches whose weights have one name, an initializer here and a constant there."""
    first = graph(
        [helper.make_node("MatMul", ["x", "w"], ["a"])], {}, {"a": ["n", 32]}, {"w": random(48, 32)}
    )
    second = graph(
        [
            helper.make_node("Constant", [], ["w"], value=tensor("w", random(48, 32, seed=1))),
            helper.make_node("MatMul", ["x", "w"], ["a2"]),
        ],
        {},
        {"a2": ["n", 32]},
        {},
    )
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=first, else_branch=second),
    ]
    weights: dict[str, NDArray[np.generic]] = {"zero": np.array(0, np.float32)}
    return model(graph(nodes, {"x": ["n", 48]}, {"y": ["n", 32]}, weights))


def loop() -> ModelProto:
    """A loop whose body multiplies with a matrix of its own."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("MatMul", ["state", "w"], ["product"]),
            helper.make_node("Tanh", ["product"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, ["n", 32]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", FLOAT, ["n", 32]),
        ],
        [tensor("w", random(32, 32) / 4)],
    )
    node = helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body)
    weights: dict[str, NDArray[np.generic]] = {"turns": np.array(3, np.int64)}
    return model(graph([node], {"x": ["n", 32]}, {"y": ["n", 32]}, weights))


def function() -> ModelProto:
    """A matrix that is handed to a function, and one that the function has."""
    own = tensor("own", random(32, 32, seed=5) / 6)
    body = helper.make_function(
        "local",
        "Twice",
        ["v", "w"],
        ["out"],
        [
            helper.make_node("MatMul", ["v", "w"], ["a"]),
            helper.make_node("Constant", [], ["own"], value=own),
            helper.make_node("MatMul", ["a", "own"], ["out"]),
        ],
        [helper.make_opsetid("", 17)],
    )
    node = helper.make_node("Twice", ["x", "w1"], ["y"], domain="local")
    whole = graph([node], {"x": ["n", 48]}, {"y": ["n", 32]}, {"w1": random(48, 32, seed=1)})
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(whole, functions=[body], opset_imports=opsets, ir_version=8)


def quantized() -> ModelProto:
    """Weights in 8 bits: one dequantized, one multiplied as it is and scaled; one in floats."""
    draw = np.random.default_rng(0)
    nodes = [
        helper.make_node("DequantizeLinear", ["codes", "scales", "zeros"], ["w1"], axis=1),
        helper.make_node("MatMul", ["x", "w1"], ["a"]),
        helper.make_node("DynamicQuantizeLinear", ["a"], ["a8", "a_scale", "a_zero"]),
        helper.make_node("MatMulInteger", ["a8", "w2", "a_zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["floats"], to=FLOAT),
        helper.make_node("Mul", ["a_scale", "w2_scales"], ["scale"]),
        helper.make_node("Mul", ["floats", "scale"], ["b"]),
        helper.make_node("MatMul", ["b", "w3"], ["y"]),
    ]
    weights: dict[str, NDArray[np.generic]] = {
        "codes": draw.integers(-127, 128, (48, 40)).astype(np.int8),
        "scales": draw.random(40).astype(np.float32) / 100,
        "zeros": np.zeros(40, np.int8),
        "w2": draw.integers(0, 256, (40, 36)).astype(np.uint8),
        "w2_scales": draw.random(36).astype(np.float32) / 100,
        "w3": random(36, 32),
    }
    return model(graph(nodes, {"x": ["n", 48]}, {"y": ["n", 32]}, weights))


def halves() -> ModelProto:
    """A matrix in 16 bits, its elements listed one by one."""
    bits = random(48, 32).astype(np.float16).view(np.uint16)
    listed = helper.make_tensor(
        "w", TensorProto.FLOAT16, [48, 32], bits.ravel().tolist(), raw=False
    )
    listed.ClearField("int32_data")
    listed.int32_data.extend(bits.ravel().tolist())
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["half", "w"], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=FLOAT),
    ]
    whole = graph(nodes, {"x": ["n", 48]}, {"y": ["n", 32]}, {})
    whole.initializer.append(listed)
    return model(whole)


GRAPHS: dict[str, Callable[[], ModelProto]] = {
    made.__name__: made
    for made in (
        *(perceptron, convolution, recurrent, tied, branches, loop, function, quantized, halves),
    )
}


def save(made: ModelProto, path: Path) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def external(made: ModelProto, path: Path, location: str = "weights.bin") -> Path:
    """Write a graph with its initializers in another file, offset by odd numbers of bytes."""
    data = b"x"
    for one in made.graph.initializer:
        raw = one.raw_data
        for key, value in {"location": location, "offset": len(data), "length": len(raw)}.items():
            one.external_data.add(key=key, value=str(value))
        one.data_location = TensorProto.EXTERNAL
        one.ClearField("raw_data")
        data += raw
    (path.parent / "weights.bin").write_bytes(data)
    return save(made, path)


def inputs_of(made: ModelProto, count: int = 8, seed: int = 9) -> dict[str, NDArray[np.float32]]:
    """Make samples of a graph's inputs; free axes have three places."""
    draw = np.random.default_rng(seed)
    shapes = {
        value.name: [dim.dim_value or 3 for dim in value.type.tensor_type.shape.dim]
        for value in made.graph.input
    }
    return {
        name: draw.standard_normal((count, *shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
