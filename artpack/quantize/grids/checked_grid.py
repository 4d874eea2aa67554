"""What all grids share: parts are checked, and weights are made in numpy alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artpack.quantize.matrix_view import matrix_shape
from artpack.quantize.parts import check_parts
from artpack.stages import ConfiguredStage
from artpack.stages.symbols import PartSpec, Quantized, Symbols
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

Weights = NDArray[np.float32]


class CheckedGrid(ConfiguredStage, ABC):
    """
    Keeps the checks of a grid out of its code.

    A grid made from this writes ``parts`` and ``_weights``, which meets parts of the right
    geometry, but any symbols.
    """

    def dequantize(self, quantized: Quantized) -> Tensor:
        """
        Turn symbols back into weights.

        Args:
            quantized: Symbols, perhaps of a stranger.

        Returns:
            fp32, of ``quantized.shape``, every value finite.

        Raises:
            CorruptError: The parts do not fit the shape, or hold impossible values.

        """
        return torch.from_numpy(self.weights(quantized))

    def weights(self, quantized: Quantized) -> Weights:
        """
        Turn symbols back into weights without torch.

        Args:
            quantized: Symbols, perhaps of a stranger.

        Returns:
            What :meth:`dequantize` does, as an array.

        Raises:
            CorruptError: The parts do not fit the shape, or hold impossible values.

        """
        check_parts(quantized, self.parts(quantized.shape))
        matrix = self._weights(quantized.parts, matrix_shape(quantized.shape))
        return matrix.reshape(quantized.shape)

    @abstractmethod
    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return the parts that a tensor of this shape is stored as, in order."""

    @abstractmethod
    def _weights(self, parts: Mapping[str, Symbols], shape: tuple[int, int]) -> Weights:
        """Return a matrix of fp32 in memory of its own."""


def centred(symbols: Symbols, centre: int) -> Weights:
    """
    Return codes of symbols as numbers to compute with.

    Args:
        symbols: uint8, any shape.
        centre: The symbol of the code 0.

    Returns:
        fp32, the same shape.

    """
    codes = symbols.astype(np.float32)
    codes -= np.float32(centre)
    return codes
