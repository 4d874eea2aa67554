"""Row by row, column by column."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from artpack.coding.layouts.checked_layout import CheckedLayout
from artpack.stages.symbols import Symbols


@dataclass(frozen=True)
class Rows(CheckedLayout):
    """
    Row by row, the order that the symbols are in anyway.

    >>> Rows().forward(np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8))
    (b'', array([1, 2, 3, 4, 5, 6], dtype=uint8))

    """

    stage_id: ClassVar[str] = "rows"

    def _forward(self, symbols: Symbols) -> tuple[bytes, Symbols]:
        return b"", symbols.reshape(-1)

    def _inverse(self, side: bytes, symbols: Symbols, shape: tuple[int, int]) -> Symbols:  # noqa: ARG002
        return symbols.reshape(shape)


@dataclass(frozen=True)
class Columns(CheckedLayout):
    """
    Column by column: for codecs that find more in common along a column.

    On rows of the bytes of one number each this would be the byte shuffle; artpack's
    own quantizers have no use for that, since they make a part of each byte.

    >>> Columns().forward(np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8))
    (b'', array([1, 4, 2, 5, 3, 6], dtype=uint8))

    """

    stage_id: ClassVar[str] = "columns"

    def _forward(self, symbols: Symbols) -> tuple[bytes, Symbols]:
        return b"", symbols.T.reshape(-1)

    def _inverse(self, side: bytes, symbols: Symbols, shape: tuple[int, int]) -> Symbols:  # noqa: ARG002
        return np.ascontiguousarray(symbols.reshape(shape[::-1]).T)
