"""Graphs rewritten to be run by others: tensors become inputs, inner values become outputs."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from artpack.graphs.places import bodies_of, constant_of, find_places

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

    from artpack.graphs.uses import Path

FRONT = "artpack."
"""What the names of new values begin with."""

_FLOAT, _INT, _TENSOR = 1, 2, 4
"""Numbers of element types and of types of attributes."""


def inlined(model: "ModelProto") -> "ModelProto":
    """
    Put the bodies of functions where they are called.

    Args:
        model: Any model.

    Returns:
        The same model if it has no functions, or another that has none.

    """
    if not model.functions:
        return model
    from onnx.inliner import inline_local_functions  # noqa: PLC0415 - an optional extra

    return inline_local_functions(model)


def make_inputs(model: "ModelProto", names: Collection[str]) -> dict[str, str]:
    """
    Make inputs of the graph of some of its tensors, in float32 and cast to what they were.

    Args:
        model: Without functions; changed in place.
        names: Which, as :func:`~artpack.graphs.places.find_places` names them.

    Returns:
        Name of each tensor to that of its input.

    """
    places = {name: tensor for name, tensor in find_places(model).items() if name in names}
    inputs = {id(tensor): (FRONT + name, tensor.data_type) for name, tensor in places.items()}
    for name, tensor in places.items():
        kind = model.graph.input.add(name=FRONT + name).type.tensor_type
        kind.elem_type = _FLOAT
        kind.shape.SetInParent()
        for size in tensor.dims:
            kind.shape.dim.add(dim_value=size)
    for graph in _graphs(model.graph):
        _replace_constants(graph, inputs)
        _replace_initializers(graph, inputs)
    return {name: FRONT + name for name in places}


Inputs = dict[int, tuple[str, int]]
"""Identity of a tensor to the name of its input, and its type."""


def _graphs(graph: "GraphProto") -> Iterator["GraphProto"]:
    """Yield a graph and the bodies of its nodes, and of theirs."""
    yield graph
    for node in graph.node:
        for body in bodies_of(node):
            yield from _graphs(body)


def _replace_constants(graph: "GraphProto", inputs: Inputs) -> None:
    for node in graph.node:
        constant = constant_of(node)
        if constant is not None and id(constant) in inputs:
            _make_cast(node, *inputs[id(constant)], node.output[0])


def _replace_initializers(graph: "GraphProto", inputs: Inputs) -> None:
    from onnx import NodeProto  # noqa: PLC0415 - an optional extra

    taken = [tensor for tensor in graph.initializer if id(tensor) in inputs]
    known = {tensor.name for tensor in taken}
    for tensor in taken:
        node = NodeProto()
        _make_cast(node, *inputs[id(tensor)], tensor.name)
        graph.node.insert(0, node)
        graph.initializer.remove(tensor)
    # Old versions list initializers among the inputs as well.
    for value in [value for value in graph.input if value.name in known]:
        graph.input.remove(value)


def _make_cast(node: "NodeProto", source: str, kind: int, name: str) -> None:
    """Make a node that gives a value another name, and a type."""
    node.Clear()
    node.input.append(source)
    node.output.append(name)
    node.op_type = "Cast"
    node.attribute.add(name="to", type=_INT, i=kind)


class Exposed:
    """
    Inner values of a graph that become outputs, as float32.

    Args:
        model: Without functions; changed in place.
    """

    def __init__(self, model: "ModelProto") -> None:
        self._graph = model.graph
        self._known: dict[tuple[object, ...], str] = {}
        self._count = 0

    def add(self, value: str, path: "Path") -> str:
        """
        Expose a value.

        Args:
            value: Its name, of floating point.
            path: The bodies it is used in, as :class:`~artpack.graphs.uses.Use` has them.

        Returns:
            Name of the output. A value of a loop's body has an axis for the turns in front; one
            of a branch that was not taken has a single axis and no elements.

        """
        key = (value, *(id(body) for _, body in path))
        if key not in self._known:
            self._known[key] = self._expose(value, path)
        return self._known[key]

    def _expose(self, value: str, path: "Path") -> str:
        inner = path[-1][1] if path else self._graph
        name = self._new()
        _make_cast(inner.node.add(), value, _FLOAT, name)
        _output(inner, name)
        for depth in range(len(path) - 1, -1, -1):
            node, body = path[depth]
            for other in bodies_of(node):
                if other is not body:
                    _output(other, self._empty(other))
            for attribute in node.attribute:
                if attribute.name in ("scan_output_axes", "scan_output_directions"):
                    attribute.ints.append(0)
            name = self._new()
            node.output.append(name)
            _output(path[depth - 1][1] if depth else self._graph, name)
        return name

    def _empty(self, graph: "GraphProto") -> str:
        """Add a constant without elements to a branch."""
        name = self._new()
        node = graph.node.add(op_type="Constant", output=[name])
        value = node.attribute.add(name="value", type=_TENSOR).t
        value.data_type = _FLOAT
        value.dims.append(0)
        value.raw_data = b""
        return name

    def _new(self) -> str:
        self._count += 1
        return f"{FRONT}seen.{self._count}"


def _output(graph: "GraphProto", name: str) -> None:
    graph.output.add(name=name).type.tensor_type.elem_type = _FLOAT
