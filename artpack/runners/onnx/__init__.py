"""
ONNX graphs, run by onnxruntime: second moments of what they multiply with, and losses.

The tensors that are packed become inputs of the graph, so one session serves all of their
versions; what other nodes multiply them with becomes outputs. Both packages are optional
extras, and are imported where they are used.
"""

from artpack.runners.onnx.batches import BatchSource, hash_batches, read_batches, spread
from artpack.runners.onnx.loss import OutputError
from artpack.runners.onnx.moments import collect_hessians
from artpack.runners.onnx.session import GraphSession, GraphWeights

__all__ = [
    "BatchSource",
    "GraphSession",
    "GraphWeights",
    "OutputError",
    "collect_hessians",
    "hash_batches",
    "read_batches",
    "spread",
]
