"""ONNX graphs in and out of artifacts."""

from pathlib import Path

from artpack.artifact.reader import Artifact
from artpack.checkpoint.selection import Selection
from artpack.errors import UsageError
from artpack.graphs import GRAPH_NAME, Graph, fill_graph, find_fault, write_graph
from artpack.models.find import FoundModel
from artpack.models.kinds import ONNX, kind_of
from artpack.system.atomic import write_atomically


def graph_model(graph: Graph) -> FoundModel:
    """
    Describe a graph for the header of its artifact.

    Args:
        graph: What is packed.

    Returns:
        A model of the kind ``onnx``, and notes.

    """
    fault = find_fault(graph.files[0])
    notes: tuple[str, ...] = ("model: an ONNX graph, carried without its weights",)
    if fault is not None:
        notes += (f"onnx.checker refuses this graph, it is kept as it is: {fault}",)
    return FoundModel(None, notes, {"kind": ONNX, "sound": fault is None})


def graph_files(graph: Graph, selection: Selection) -> dict[str, bytes]:
    """Return the file that an artifact carries: the graph, with what was not selected."""
    return {GRAPH_NAME: graph.without(frozenset(selection.outputs))}


def is_graph(artifact: Artifact) -> bool:
    """Return whether an artifact is of an ONNX graph."""
    return kind_of(artifact.model) == ONNX


def fill_graph_folder(artifact: Artifact, folder: Path) -> tuple[int, int]:
    """
    Write a graph with its weights, and what else its artifact carries, into a folder.

    Args:
        artifact: Of a graph.
        folder: Empty.

    Returns:
        Number of tensors, and bytes written.

    Raises:
        ArtifactError: The artifact is damaged or hostile.
        UsageError: The package ``onnx`` is missing.
        OSError: A file cannot be written.

    """
    count, size = unpack_graph(artifact, folder / GRAPH_NAME)
    for name, content in artifact.files.items():
        if name != GRAPH_NAME:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            size += write_atomically(folder / name, [content])
    return count, size


def unpack_graph(artifact: Artifact, target: Path) -> tuple[int, int]:
    """
    Write the graph of an artifact with its weights.

    Args:
        artifact: Of a graph.
        target: The file; where 2 GB are too few, weights go to ``NAME.data`` beside it.

    Returns:
        Number of tensors, and bytes written.

    Raises:
        ArtifactError: The artifact is damaged or hostile.
        UsageError: It is of no ONNX graph, or the package ``onnx`` is missing.
        OSError: A file cannot be written.

    """
    stored = artifact.model
    if stored is None or not is_graph(artifact):
        raise UsageError(f"{target}: the artifact holds no ONNX graph: unpack to .safetensors")
    tensors = artifact.load()
    model = fill_graph(artifact.files.get(GRAPH_NAME, b""), tensors)
    return len(tensors), write_graph(model, target, sound=stored.get("sound") is not False)
