"""Promises of every layout, checked in one place."""

from abc import ABC, abstractmethod

import numpy as np

from artpack.errors import CorruptError, TruncatedError, UsageError
from artpack.stages import ConfiguredStage
from artpack.stages.symbols import Symbols


class CheckedLayout(ConfiguredStage, ABC):
    """
    Keeps the checks of a layout out of its code.

    A layout made from this writes ``_forward`` and ``_inverse``, and
    ``side_bytes`` if it has side information.
    """

    def side_bytes(self, shape: tuple[int, int]) -> int:  # noqa: ARG002
        """
        Return how many bytes of side information ``inverse`` needs.

        Args:
            shape: Rows and columns of the part.

        Returns:
            0.

        """
        return 0

    def forward(self, symbols: Symbols) -> tuple[bytes, Symbols]:
        """
        Put symbols into the order in which they are coded.

        Args:
            symbols: uint8, two-dimensional, ``(rows, cols)``; 0 or more of each.

        Returns:
            ``side_bytes((rows, cols))`` bytes of side information, and the symbols:
            uint8, ``(rows * cols,)``.

        Raises:
            UsageError: The symbols are not two-dimensional uint8.

        """
        if symbols.ndim != 2 or symbols.dtype != np.uint8:
            raise UsageError(
                f"{self.stage_id}: symbols must be two-dimensional uint8,"
                f" got {symbols.ndim}-dimensional {symbols.dtype}"
            )
        return self._forward(symbols)

    def inverse(self, side: bytes, symbols: Symbols, *, shape: tuple[int, int]) -> Symbols:
        """
        Undo ``forward``.

        Args:
            side: The side information.
            symbols: uint8, ``(rows * cols,)``.
            shape: Rows and columns.

        Returns:
            uint8, ``(rows, cols)``.

        Raises:
            TruncatedError: There is less side information than ``side_bytes(shape)``.
            CorruptError: There is more, or it makes no sense, or the number of
                symbols does not fit the shape.

        """
        expected = self.side_bytes(shape)
        if len(side) != expected:
            error = TruncatedError if len(side) < expected else CorruptError
            raise error(f"{self.stage_id}: {len(side)} bytes of side information, not {expected}")
        if symbols.shape != (shape[0] * shape[1],):
            raise CorruptError(f"{self.stage_id}: {symbols.size} symbols do not fill {shape}")
        return self._inverse(side, symbols, shape)

    @abstractmethod
    def _forward(self, symbols: Symbols) -> tuple[bytes, Symbols]: ...

    @abstractmethod
    def _inverse(self, side: bytes, symbols: Symbols, shape: tuple[int, int]) -> Symbols: ...
