"""The error of a graph's outputs with some tensors replaced."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from artpack.errors import UsageError
from artpack.runners.onnx.batches import Batch
from artpack.runners.onnx.session import GraphSession, GraphWeights

MAX_OUTPUTS = 1 << 25
"""Bounds what is kept of the graph as it is: 128 MiB of float32."""


class OutputError:
    """
    Mean squared error of a graph's outputs, relative to how much these vary.

    Of each output of floating point, the squared errors of all batches are added up and
    divided by the squared distances from the output's mean; the mean over outputs counts.
    An output that never varies is divided by its squares.

    Args:
        weights: The graph's.
        batches: What to run.

    Raises:
        UsageError: onnxruntime is missing or fails, the batches are not the graph's, or no
            output is of floating point.

    """

    def __init__(self, weights: GraphWeights, batches: tuple[Batch, ...]) -> None:
        self._weights = weights
        self._session = GraphSession(weights.model(), weights.names)
        self._outputs = self._session.float_outputs
        if not self._outputs:
            raise UsageError("the graph has no output of floating point: no loss can be measured")
        self._batches = [self._session.checked(batch) for batch in batches]
        self._stride = 1
        baseline = list(self._run({}))
        size = sum(one.size for outputs in baseline for one in outputs)
        self._stride = max(1, -(-size // MAX_OUTPUTS))
        self._baseline = [[one[:: self._stride] for one in outputs] for outputs in baseline]
        self._spread = [_spread(ones) for ones in zip(*self._baseline, strict=True)]

    def __call__(self, replaced: Mapping[str, Tensor]) -> float:
        """
        Measure the error.

        Args:
            replaced: Stored name to tensor, in place of the checkpoint's own.

        Returns:
            0 if nothing changes, about 1 if nothing is left of the outputs.

        Raises:
            UsageError: The graph has no such tensor.

        """
        total = np.zeros(len(self._outputs))
        for before, after in zip(self._baseline, self._run(replaced), strict=True):
            total += [_squares(a - b) for a, b in zip(after, before, strict=True)]
        return float(np.mean(total / self._spread))

    def _run(self, replaced: Mapping[str, Tensor]) -> Iterator[list[NDArray[np.float32]]]:
        """Yield each batch's outputs, flat."""
        values = self._weights.inputs(replaced)
        for batch in self._batches:
            outputs = self._session.run(self._outputs, batch | values)
            yield [one.astype(np.float32).ravel()[:: self._stride] for one in outputs]


def _spread(outputs: tuple[NDArray[np.float32], ...]) -> float:
    whole = np.concatenate(outputs).astype(np.float64)
    if not np.isfinite(whole).all():
        raise UsageError("an output of the graph is not finite on these batches")
    varies = _squares(whole - whole.mean()) if whole.size else 0.0
    return varies or _squares(whole) or 1.0


def _squares(values: NDArray[np.float32] | NDArray[np.float64]) -> float:
    return float(np.square(values, dtype=np.float64).sum())
