"""Graphs in onnxruntime, with their weights as inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.checkpoint import Bank, Tie, restore
from artpack.errors import UsageError
from artpack.graphs import Graph, fill_graph, find_uses
from artpack.graphs.rewriting import FRONT, inlined, make_inputs
from artpack.runners.onnx.batches import Batch

if TYPE_CHECKING:
    from onnx import ModelProto

    from artpack.graphs.uses import Use


@dataclass(frozen=True, eq=False)
class GraphWeights:
    """
    Weights of a graph, as they are stored.

    Attributes:
        graph: Their graph.
        names: The graph's tensors that are to be replaced: of floating point.
        stored: Stored name to tensor, for reading only: all that these are made of.
        ties: Of the checkpoint.
        banks: Of the checkpoint.
    """

    graph: Graph
    names: tuple[str, ...]
    stored: Mapping[str, Tensor]
    ties: tuple[Tie, ...] = ()
    banks: tuple[Bank, ...] = ()

    def inputs(self, replaced: Mapping[str, Tensor]) -> Batch:
        """
        Return what is fed for the graph's tensors.

        Args:
            replaced: Stored name to tensor, in place of the checkpoint's own.

        Returns:
            Name of an input to float32.

        """
        if unknown := replaced.keys() - self.stored.keys():
            raise UsageError(f"the graph has no tensor {min(unknown)!r}")
        stored = {
            name: replaced.get(name, tensor).to(tensor.dtype)
            for name, tensor in self.stored.items()
        }
        restored = restore(self.names, stored, self.ties, self.banks)
        return {
            FRONT + name: np.ascontiguousarray(tensor.float().numpy())
            for name, tensor in restored.items()
        }

    def model(self) -> "ModelProto":
        """Return the graph without functions, the replaced tensors without elements."""
        return inlined(fill_graph(self.graph.without(frozenset(self.names)), {}))

    @cached_property
    def uses(self) -> "list[Use]":
        """All uses of the tensors, in the model that belongs to them."""
        return find_uses(self.model())


class GraphSession:
    """
    A graph that onnxruntime runs, its weights as inputs.

    Args:
        model: Without functions; used up.
        names: The tensors that become inputs.

    Raises:
        UsageError: onnxruntime is missing, or cannot run the graph.

    """

    def __init__(self, model: "ModelProto", names: tuple[str, ...]) -> None:
        make_inputs(model, names)
        try:
            import onnxruntime  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            raise UsageError(
                "running ONNX graphs is an optional extra: pip install 'artpack[onnx]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base
            raise UsageError(f"onnxruntime cannot run this graph: {_first_line(error)}") from error
        self._inputs = {
            one.name: one for one in self._session.get_inputs() if not one.name.startswith(FRONT)
        }
        outputs = self._session.get_outputs()
        self.float_outputs = tuple(
            one.name
            for one in outputs
            if one.type in ("tensor(float)", "tensor(float16)", "tensor(double)")
        )

    def checked(self, batch: Batch) -> Batch:
        """
        Return a batch in the graph's own dtypes.

        Args:
            batch: Of all inputs of the graph.

        Returns:
            The same values.

        Raises:
            UsageError: An array is not what the graph takes.

        """
        return {name: self._value(known, batch[name]) for name, known in self._inputs.items()}

    def _value(self, known: Any, array: NDArray[Any]) -> NDArray[Any]:
        wanted = _NUMPY.get(known.type)
        fits = array.ndim == len(known.shape) and all(
            not isinstance(size, int) or size in (own, -1)
            for size, own in zip(known.shape, array.shape, strict=True)
        )
        if wanted is None or not np.can_cast(array.dtype, wanted, "same_kind") or not fits:
            shape = [size if isinstance(size, int) else "any" for size in known.shape]
            raise UsageError(
                f"`calibration_batches`: {known.name!r} is {array.dtype} {list(array.shape)} in a"
                f" batch, the graph takes {known.type} {shape}"
            )
        return np.asarray(array, wanted)

    def run(self, outputs: tuple[str, ...], values: Batch) -> list[NDArray[Any]]:
        """
        Run the graph.

        Args:
            outputs: What is wanted.
            values: All inputs, weights included.

        Returns:
            The outputs.

        Raises:
            UsageError: onnxruntime fails.

        """
        try:
            found: list[NDArray[Any]] = self._session.run(list(outputs), values)
        except Exception as error:  # onnxruntime's errors share no base
            raise UsageError(f"onnxruntime cannot run this graph: {_first_line(error)}") from error
        return found


_NUMPY = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
