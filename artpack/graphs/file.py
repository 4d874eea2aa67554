"""Files of ONNX: parsed, told apart from other things, and taken to pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artpack.errors import CheckpointError, CorruptError, UsageError
from artpack.graphs.external import ExternalFiles
from artpack.graphs.places import find_places
from artpack.graphs.tensors import is_stored, put, take

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor

GRAPH_NAME = "model.onnx"
"""Name of the file in an artifact that is the graph without its tensors."""


@dataclass(frozen=True, eq=False)
class Graph:
    """
    A graph, and apart from it its tensors.

    Attributes:
        skeleton: The graph; what is in ``tensors`` has no elements there.
        tensors: Name to tensor, as :func:`~artpack.graphs.places.find_places` names them.
        files: The file, and others that it has tensors in.
    """

    skeleton: ModelProto
    tensors: dict[str, Tensor]
    files: tuple[Path, ...] = ()

    def without(self, names: frozenset[str]) -> bytes:
        """
        Serialize the graph without some of its tensors.

        Args:
            names: Those that are stored elsewhere.

        Returns:
            The graph, with the elements of all others.

        """
        whole = type(self.skeleton)()
        whole.CopyFrom(self.skeleton)
        places = find_places(whole)
        for name, tensor in self.tensors.items():
            if name not in names:
                put(places[name], name, tensor)
        serialized: bytes = whole.SerializeToString(deterministic=True)
        return serialized


def need_onnx() -> None:
    """
    Check that the package ``onnx`` is there.

    Raises:
        UsageError: It is not; says what to install.

    """
    try:
        import onnx  # noqa: F401, PLC0415 - an optional extra
    except ImportError as error:
        raise UsageError(
            "ONNX graphs are an optional extra: pip install 'artpack[onnx]'"
        ) from error


def parse_graph(data: bytes) -> ModelProto:
    """
    Parse a graph.

    Args:
        data: A serialized ``ModelProto``.

    Returns:
        The model.

    Raises:
        CheckpointError: It is none.
        UsageError: The package ``onnx`` is missing.

    """
    need_onnx()
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - comes with onnx
    from onnx import ModelProto  # noqa: PLC0415 - an optional extra

    try:
        model: ModelProto = ModelProto.FromString(data)
    except DecodeError as error:
        raise CheckpointError("a damaged ONNX graph, or none: it cannot be parsed") from error
    if not model.HasField("graph") or not model.opset_import:
        raise CheckpointError("a damaged ONNX graph, or none: it says no graph or no opset")
    if not _is_text(model):
        raise CheckpointError("a damaged ONNX graph: a name in it is not UTF-8")
    return model


def _is_text(message: Any) -> bool:
    """Tell whether every text is one; where a text is not UTF-8, protobuf gives its bytes."""
    return all(
        isinstance(item, str) or (not isinstance(item, bytes) and _is_text(item))
        for item in _texts_and_messages(message)
    )


def _texts_and_messages(message: Any) -> Iterator[Any]:
    for field in message.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING:
            value = getattr(message, field.name)
            yield from [value] if isinstance(value, str | bytes) else value
        elif field.type == field.TYPE_MESSAGE:
            value = getattr(message, field.name)
            if not hasattr(value, "DESCRIPTOR"):
                yield from value
            elif message.HasField(field.name):
                yield value


def read_graph(path: Path) -> Graph:
    """
    Read a graph, and take its tensors out of it.

    Args:
        path: A file of ONNX.

    Returns:
        The graph. Tensors of other files are mapped, those of this one are in memory.

    Raises:
        CheckpointError: It is damaged, or tensors are not where it says.
        UsageError: The package ``onnx`` is missing.

    """
    try:
        model = parse_graph(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error.__cause__
    external = ExternalFiles(path)
    tensors = {
        name: take(tensor, name, external)
        for name, tensor in find_places(model).items()
        if tensor.data_location or is_stored(tensor)
    }
    if not tensors:
        raise CheckpointError(f"{path}: no tensors in this graph")
    return Graph(model, tensors, (path, *external.files))


def fill_graph(skeleton: bytes, tensors: dict[str, Tensor]) -> ModelProto:
    """
    Put the tensors of an artifact into its graph.

    Args:
        skeleton: What :meth:`Graph.without` gave.
        tensors: Name to tensor: all that are missing in it.

    Returns:
        The whole graph.

    Raises:
        CorruptError: It is no graph, or the tensors are not its own.
        UsageError: The package ``onnx`` is missing.

    """
    try:
        model = parse_graph(skeleton)
    except CheckpointError as error:
        raise CorruptError(f"the artifact carries {error}") from error
    places = find_places(model)
    for name, tensor in tensors.items():
        if name not in places:
            raise CorruptError(f"the artifact's graph has no tensor {name!r}")
        put(places[name], name, tensor)
    return model
