"""The job of ``artpack.unpack``: an artifact into a file, or into a folder of Hugging Face."""

import io
import os
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from artpack.api.folder import SHARD_BYTES, check_place, fill_folder
from artpack.api.graphs import fill_graph_folder, is_graph, unpack_graph
from artpack.artifact.reader import open_artifact
from artpack.errors import UsageError
from artpack.system.atomic import check_new_folder, is_for_folder, new_folder, write_atomically

GRAPH = ".onnx"
FILES = (".safetensors", ".pt", GRAPH)


def unpack(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
    max_decoded_bytes: int | None = None,
) -> tuple[int, int]:
    """
    Decode an artifact into a file or a folder that other tools read.

    Args:
        path: The artifact.
        output: A ``.safetensors`` or ``.pt`` file; for an ONNX graph also an ``.onnx`` file; or
            a folder, new or empty, that is given ``model.safetensors``, or the ONNX graph,
            and the files that the artifact carries, as ``from_pretrained`` of transformers
            reads them.
        dtype: Write floating-point tensors in this dtype instead of their own.
        shard_bytes: Of a folder: the most tensors of one file, in bytes. Several files have
            an index.
        max_decoded_bytes: As :func:`load` takes it.

    Returns:
        Number of tensors, and size of all files in bytes.

    Raises:
        ArtifactError: The artifact is damaged, hostile, or of another version.
        UsageError: The ending is another one, safetensors has no place for a tensor, or
            the artifact holds no ONNX graph.
        OSError: A file cannot be read or written, or the folder holds something.

    """
    target = Path(output)
    folder = is_for_folder(target)
    if folder:
        check_new_folder(target)
    elif target.suffix not in FILES:
        raise UsageError(
            f"{target}: the ending must be .safetensors, .pt or .onnx, or none for a folder"
        )
    with open_artifact(Path(path), max_decoded_bytes=max_decoded_bytes) as artifact:
        artifact.check_trailer()
        graph = target.suffix == GRAPH or (folder and is_graph(artifact))
        if graph and dtype is not None:
            raise UsageError(f"{target}: a graph says the dtypes of its tensors: leave `dtype` out")
        if graph and folder:
            with new_folder(target) as temporary:
                return fill_graph_folder(artifact, temporary)
        if folder:
            with new_folder(target) as temporary:
                return fill_folder(artifact, temporary, dtype=dtype, shard_bytes=shard_bytes)
        if graph:
            return unpack_graph(artifact, target)
        tensors = artifact.load(dtype=dtype)
    data = _pt(tensors) if target.suffix == ".pt" else _safetensors(tensors)
    return len(tensors), write_atomically(target, [data])


def _safetensors(tensors: dict[str, Tensor]) -> bytes:
    for name, tensor in tensors.items():
        check_place(name, tensor.dtype)
    # The format knows no ties: tied tensors are written out in full. Other tools ask it
    # which library's tensors these are, and some refuse a file that does not say it.
    whole = {name: tensor.clone() for name, tensor in tensors.items()}
    return safetensors.torch.save(whole, metadata={"format": "pt"})


def _pt(tensors: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()
