"""Graphs written to files: one, or one and another with its elements where they are too many."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from artpack.errors import CorruptError
from artpack.graphs.places import find_places
from artpack.system.atomic import write_atomically

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

MAX_BYTES = (2 << 30) - (1 << 16)
"""Larger files cannot be parsed: then elements go to another one."""

ALIGNMENT = 4096
"""Where elements begin in that file, so that they can be mapped."""

MIN_BYTES = 1024
"""Smaller tensors stay in the graph."""

_EXTERNAL = 1


def write_graph(model: "ModelProto", path: Path, *, sound: bool) -> int:
    """
    Write a graph; beside it ``NAME.data``, if it is too large for one file.

    Args:
        model: The graph. Its elements may be taken out of it.
        path: Where to.
        sound: Whether ``onnx.checker`` is to agree with it.

    Returns:
        Bytes written.

    Raises:
        CorruptError: It does not.
        OSError: A file cannot be written.

    """
    if model.ByteSize() <= MAX_BYTES:
        content = model.SerializeToString(deterministic=True)
        _check(content, sound=sound)
        return write_atomically(path, [content])
    beside = path.with_name(path.name + ".data")
    large = [t for t in find_places(model).values() if len(t.raw_data) >= MIN_BYTES]
    size = write_atomically(beside, _moved(large, beside.name))
    size += write_atomically(path, [model.SerializeToString(deterministic=True)])
    _check(path, sound=sound)
    return size


def _check(graph: bytes | Path, *, sound: bool) -> None:
    if sound and (fault := find_fault(graph)):
        raise CorruptError(f"the artifact's graph is not sound: {fault}")


def _moved(tensors: list["TensorProto"], location: str) -> Iterator[bytes]:
    """Give the content of the other file, and leave in each tensor where it is."""
    end = 0
    for tensor in tensors:
        data = tensor.raw_data
        gap = -end % ALIGNMENT
        fields = {"location": location, "offset": str(end + gap), "length": str(len(data))}
        for key, value in fields.items():
            tensor.external_data.add(key=key, value=value)
        tensor.data_location = _EXTERNAL  # type: ignore[assignment]
        tensor.ClearField("raw_data")
        end += gap + len(data)
        yield bytes(gap) + data


def find_fault(graph: bytes | Path) -> str | None:
    """
    Let ``onnx.checker`` look at a graph.

    Args:
        graph: Its file, or the file's content.

    Returns:
        The first line of what it says; None if the graph is sound.

    """
    from onnx import checker  # noqa: PLC0415 - an optional extra

    try:
        checker.check_model(graph if isinstance(graph, bytes) else str(graph))
    except (checker.ValidationError, ValueError) as error:
        return str(error).partition("\n")[0]
    return None
