"""
ONNX graphs: their tensors under names of their own, and the graph without them.

::

    model.onnx ─► read_graph ─► tensors (what is packed)
                             └► skeleton (the graph without them, carried as it is)

    skeleton, tensors ─► fill ─► write_graph ─► model.onnx

Nothing here runs a graph; ``artpack/runners/onnx/`` does. The package ``onnx`` is an optional
extra, so it is imported where it is used.
"""

from artpack.graphs.file import GRAPH_NAME, Graph, fill_graph, read_graph
from artpack.graphs.output import find_fault, write_graph
from artpack.graphs.rewriting import inlined
from artpack.graphs.uses import find_exact, find_transposed, find_uses

__all__ = [
    "GRAPH_NAME",
    "Graph",
    "fill_graph",
    "find_exact",
    "find_fault",
    "find_transposed",
    "find_uses",
    "inlined",
    "read_graph",
    "write_graph",
]
