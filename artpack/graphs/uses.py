"""
Uses of a graph's tensors: which nodes multiply with them, and from which side.

A tensor is followed through nodes that leave its columns as they are (casts, transposes, rows
taken out or put together), into the bodies of branches and loops.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from artpack.graphs.places import OWN_DOMAINS, bodies_of, constant_of, find_places

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

    Path = tuple[tuple[NodeProto, GraphProto], ...]

FOLLOWED = frozenset(
    ("Identity", "Cast", "Concat", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
)
"""Nodes whose outputs have the columns of their first input, or of all of them."""

INTEGER_NODES = (
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeMatMul"),
    *("DynamicQuantizeLSTM", "MatMulInteger", "MatMulIntegerToFloat", "ConvInteger"),
    *("MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "GatherBlockQuantized", "QMoE"),
)
"""Nodes of quantized graphs, and whatever begins with ``QLinear`` and its like."""

FACTORS = ("MatMul", "FusedMatMul", "Gemm")
CONVOLUTIONS = ("Conv", "FusedConv")
RECURRENT = ("LSTM", "GRU", "RNN")

SUMS = ("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger")
"""Nodes whose outputs are integers, or a scale of them: they are cast and multiplied by scales."""

_PREFIXES = ("QLinear", "QAttention", "QGemm", "QEmbed", "QOrdered")


@dataclass(frozen=True)
class Origin:
    """
    A stored tensor, on its way to a node.

    Attributes:
        name: Its name.
        turned: Whether its last two axes were exchanged.
    """

    name: str
    turned: bool = False


@dataclass(frozen=True, eq=False)
class Use:
    """
    A node that takes a stored tensor.

    Attributes:
        origin: The tensor.
        node: The node.
        index: Which of its inputs.
        path: The nodes whose bodies it lies in, and these bodies, outermost first.
        quantized: Whether the node is one of those that quantized graphs have, or scales what
            comes from them.
    """

    origin: Origin
    node: "NodeProto"
    index: int
    path: "Path"
    quantized: bool


def find_uses(model: "ModelProto") -> list[Use]:
    """
    Find every use of every stored tensor in the graph; functions are not looked into.

    Args:
        model: Any model, with or without the elements of its tensors.

    Returns:
        The uses, in the order of the graph.

    """
    return list(_Walk(find_places(model)).graph(model.graph, {}, ()))


Scope = Mapping[str, tuple[Origin, ...]]
"""Name of a value to the tensors that it is made of."""


class _Walk:
    """
    A walk along all nodes, with the stored tensors that each value is made of.

    Args:
        names: Of all tensors, in the order of the walk.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = iter(names)
        self._integers: set[str] = set()

    def graph(self, graph: "GraphProto", outer: Scope, path: "Path") -> Iterator[Use]:
        """Yield the uses in a graph and in the bodies of its nodes."""
        scope = dict(outer)
        for value in graph.input:
            scope.pop(value.name, None)
        scope |= {tensor.name: (Origin(next(self._names)),) for tensor in graph.initializer}
        for node in graph.node:
            made = self._made(node, scope)
            for body in bodies_of(node):
                yield from self.graph(body, scope, (*path, (node, body)))
            quantized = self._is_quantized(node)
            for index, name in enumerate(node.input):
                for origin in scope.get(name, ()):
                    yield Use(origin, node, index, path, quantized)
            scope |= dict.fromkeys(node.output, made)

    def _is_quantized(self, node: "NodeProto") -> bool:
        """Tell whether a node is of a quantized graph, and remember what are integers."""
        from_integers = not self._integers.isdisjoint(node.input)
        if node.op_type in SUMS or (node.op_type == "Cast" and from_integers):
            self._integers.update(node.output)
        if node.op_type in INTEGER_NODES or node.op_type.startswith(_PREFIXES):
            return True
        return node.op_type == "Mul" and from_integers

    def _made(self, node: "NodeProto", scope: Scope) -> tuple[Origin, ...]:
        """Return what a node's outputs are made of."""
        constant = constant_of(node)
        if constant is not None:
            return (Origin(next(self._names)),)
        if node.op_type not in FOLLOWED or node.domain not in OWN_DOMAINS or not node.input:
            return ()
        taken = node.input if node.op_type == "Concat" else node.input[:1]
        found = tuple(origin for name in taken for origin in scope.get(name, ()))
        if node.op_type != "Transpose":
            return found
        axes = next((list(a.ints) for a in node.attribute if a.name == "perm"), [1, 0])
        last = len(axes) - 1
        if axes == list(range(last + 1)):
            return found
        exchanged = [*range(last - 1), last, last - 1]
        if axes != exchanged:
            return ()
        return tuple(replace(origin, turned=not origin.turned) for origin in found)


def attribute(node: "NodeProto", name: str, default: int = 0) -> int:
    """Return an attribute of a node that is a whole number."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def inputs_are_columns(use: Use) -> bool | None:
    """
    Return which axis of a stored matrix is multiplied with what comes in.

    Args:
        use: Any use.

    Returns:
        True for the last axis, (outputs, inputs); False for the last but one; None if the node
        does not multiply with a matrix.

    """
    last = _inputs_are_last(use.node, use.index)
    return last if last is None else last != use.origin.turned


def _inputs_are_last(node: "NodeProto", index: int) -> bool | None:
    if node.op_type in FACTORS and index < 2:
        # The right factor is summed along its rows, the left one along its columns.
        flag = attribute(node, "transB" if index else "transA")
        return bool(flag) == bool(index)
    if node.op_type == "Attention" and node.domain == "com.microsoft" and index == 1:
        return False
    kernel = node.op_type in CONVOLUTIONS and index == 1
    if kernel or (node.op_type in RECURRENT and index in (1, 2)):
        return True
    table = node.op_type == "Gather" and index == 0 and attribute(node, "axis") == 0
    return True if table else None


def find_transposed(uses: Iterable[Use]) -> frozenset[str]:
    """
    Find the matrices that are stored as (inputs, outputs).

    Args:
        uses: All uses of a graph's tensors.

    Returns:
        Names of those that only nodes of this kind multiply with.

    """
    sides: dict[str, set[bool]] = {}
    for use in uses:
        side = inputs_are_columns(use)
        if side is not None:
            sides.setdefault(use.origin.name, set()).add(side)
    return frozenset(name for name, found in sides.items() if found == {False})


def find_exact(uses: Iterable[Use]) -> frozenset[str]:
    """
    Find what belongs to weights that are quantized already: codes, scales, zero points.

    Args:
        uses: All uses of a graph's tensors.

    Returns:
        Names of the tensors that nodes of quantized graphs take.

    """
    return frozenset(use.origin.name for use in uses if use.quantized)
