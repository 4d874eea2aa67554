"""Places of tensors in a graph: its initializers and constants, bodies and functions too."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

OWN_DOMAINS = ("", "ai.onnx")
"""The domain of ONNX itself, under both of its names."""


def find_places(model: "ModelProto") -> dict[str, "TensorProto"]:
    """
    Name every initializer and every constant that is a tensor.

    Names are the graph's own. Bodies of branches and loops may repeat one: the second gets
    ``.2`` at its end, and so on. They depend on the graph alone, not on what its tensors hold.

    Args:
        model: Any model.

    Returns:
        Name to tensor, in the order of the graph.

    """
    places: dict[str, TensorProto] = {}
    named = list(_find_tensors(model))
    taken, last = {name for name, _ in named}, dict[str, int]()
    for name, tensor in named:
        unique = name
        while unique in places or (unique != name and unique in taken):
            last[name] = last.get(name, 1) + 1
            unique = f"{name}.{last[name]}"
        places[unique] = tensor
    return places


def _find_tensors(model: "ModelProto") -> Iterator[tuple[str, "TensorProto"]]:
    yield from _find_in_graph(model.graph)
    for function in model.functions:
        yield from _find_in_nodes(function.node)


def _find_in_graph(graph: "GraphProto") -> Iterator[tuple[str, "TensorProto"]]:
    yield from ((tensor.name or "unnamed", tensor) for tensor in graph.initializer)
    yield from _find_in_nodes(graph.node)


def _find_in_nodes(nodes: Iterable["NodeProto"]) -> Iterator[tuple[str, "TensorProto"]]:
    for node in nodes:
        constant = constant_of(node)
        if constant is not None:
            yield node.output[0], constant
        for body in bodies_of(node):
            yield from _find_in_graph(body)


def constant_of(node: "NodeProto") -> "TensorProto | None":
    """Return the tensor that a node gives out as it is; None if it is another kind of node."""
    if node.op_type != "Constant" or node.domain not in OWN_DOMAINS or not node.output:
        return None
    return next((a.t for a in node.attribute if a.name == "value" and a.HasField("t")), None)


def bodies_of(node: "NodeProto") -> Iterator["GraphProto"]:
    """Yield the branches of a node, or the body of its loop."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
