"""ONNX graphs as checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from artpack.checkpoint.source import Loaded, Source, listed
from artpack.graphs import find_exact, find_transposed, find_uses, inlined, read_graph
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

QUANTIZED = "kept as they are, of a graph that is quantized already"

_COMPARED_BYTES = 64
"""Tensors that begin differently are not compared."""


def onnx_source(path: Path) -> Source:
    """
    Open an ONNX graph.

    Args:
        path: The file; others that it has tensors in lie beside it.

    Returns:
        Its initializers and constants, but for small ones. Equal ones are one tensor. The
        graph tells which are (inputs, outputs) and which are codes or scales of others.

    Raises:
        CheckpointError: It is damaged, or tensors are not where it says.
        UsageError: The package ``onnx`` is missing.

    """
    graph = read_graph(path)
    uses = find_uses(inlined(graph.skeleton))
    exact = find_exact(uses) & graph.tensors.keys()
    notes = (f"{QUANTIZED}: {listed(sorted(exact))}",) if exact else ()
    loaded = Loaded(_shared(graph.tensors), notes)
    return Source(
        graph.files,
        lambda: loaded,
        transposed=find_transposed(uses),
        exact=frozenset(exact),
        graph=graph,
    )


def _shared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, where equal ones are one and the same: exporters write them twice."""
    first: dict[object, list[str]] = {}
    for name, tensor in tensors.items():
        key = tensor.dtype, tensor.shape, _bytes(tensor.flatten()[:_COMPARED_BYTES])
        first.setdefault(key, []).append(name)
    shared = dict(tensors)
    for names in first.values():
        if len(names) > 1:
            known: dict[bytes, Tensor] = {}
            for name in names:
                digest = hashlib.sha256(_bytes(tensors[name])).digest()
                shared[name] = known.setdefault(digest, tensors[name])
    return shared


def _bytes(tensor: Tensor) -> bytes:
    return tensor.flatten().view(torch.uint8).numpy().tobytes()
