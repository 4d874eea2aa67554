"""Calibrations of ONNX graphs, and what measures their losses."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from artpack.calibration.file import Calibration, hash_config
from artpack.calibration.libraries import library_versions
from artpack.checkpoint import Checkpoint
from artpack.graphs import Graph, inlined
from artpack.graphs.places import find_places
from artpack.runners.onnx import (
    BatchSource,
    GraphWeights,
    OutputError,
    collect_hessians,
    hash_batches,
    read_batches,
    spread,
)
from artpack.runners.onnx.batches import Batch
from artpack.stages.progress import Progress
from artpack.version import __version__

MEASURED_BATCHES = 16
"""On how many batches a loss is measured; the graph runs over them for every tensor."""

UNIT = "of the outputs' variance"


@dataclass(frozen=True, eq=False)
class GraphRun:
    """
    A graph that is ready to be calibrated.

    Attributes:
        weights: Its weights.
        batches: What it runs over.
        weights_sha256: Hash of the checkpoint's weights, in hexadecimal.
    """

    weights: GraphWeights
    batches: tuple[Batch, ...]
    weights_sha256: str

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the graph without its weights, in hexadecimal."""
        return hash_graph(self.weights.graph)

    @cached_property
    def batches_sha256(self) -> str:
        """Hash of what it runs over, in hexadecimal."""
        return hash_batches(self.batches)

    def collect(self, progress: Progress | None = None) -> Calibration:
        """
        Collect the second moments of what the graph multiplies its tensors with.

        Args:
            progress: Told how far it is.

        Returns:
            The calibration; it knows nothing of gradients.

        Raises:
            UsageError: onnxruntime is missing or fails, or the batches are not the graph's.

        """
        hessians = collect_hessians(self.weights, self.batches, progress)
        return Calibration(
            hessians=hessians,
            row_information={},
            lookup_information={},
            tokens=len(self.batches),
            fingerprint={
                "artpack": __version__,
                "libraries": library_versions("onnxruntime"),
                "weights_sha256": self.weights_sha256,
                "model_sha256": self.fingerprint,
                "tokens_sha256": self.batches_sha256,
                "settings": {"batches": len(self.batches), "fisher": False},
            },
        )

    def loss(self) -> OutputError:
        """Return what measures the loss on some of the batches."""
        return OutputError(self.weights, spread(self.batches, MEASURED_BATCHES))


@dataclass(frozen=True, eq=False)
class Replacements:
    """
    What errors of a graph's tensors cost, each replaced alone: no gradient tells it.

    Attributes:
        weights: The graph's.
        loss: Measures a loss.
        progress: Told after each tensor.
    """

    weights: GraphWeights
    loss: OutputError
    progress: Progress | None

    def __call__(self, errors: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the loss that each error alone adds, by the name of its tensor."""
        added = {}
        for done, (name, error) in enumerate(errors.items(), 1):
            added[name] = self.loss({name: self.weights.stored[name] + error})
            if self.progress is not None:
                self.progress("measuring sensitivities", done, len(errors))
        return added


def hash_graph(graph: Graph) -> str:
    """Hash a graph without its weights, in hexadecimal."""
    return hash_config({"graph": graph.without(frozenset(graph.tensors)).hex()})


def start_graph(checkpoint: Checkpoint, graph: Graph, source: BatchSource) -> GraphRun:
    """
    Get a graph ready to be calibrated.

    Args:
        checkpoint: Its weights.
        graph: The graph that they were taken out of.
        source: What it runs over.

    Returns:
        The graph with its weights in memory.

    Raises:
        UsageError: The batches are not the graph's.

    """
    batches = read_batches(source, graph.skeleton)
    # Tensors of functions have other names where these are called, and stay as they are.
    reached = find_places(inlined(graph.skeleton))
    names = tuple(
        name
        for name in checkpoint.names
        if graph.tensors[name].is_floating_point() and name not in checkpoint.exact
        if name in reached
    )
    stored = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
    weights = GraphWeights(graph, names, stored, checkpoint.ties, checkpoint.banks)
    return GraphRun(weights, batches, checkpoint.weights_sha256)
