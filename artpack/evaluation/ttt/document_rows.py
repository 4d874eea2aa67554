"""DocumentRows of one document's window each, so that a row's matrices are its document's."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.evaluation.tokens.shards import Tokens


class DocumentRows(NamedTuple):
    """
    Windows, one a row.

    Attributes:
        ids: int64 (B, T), 0 beyond a window.
        positions: int64 (B, C), where the scored targets are predicted.
        answers: int64 (B, C), what comes next there.
        valid: bool (B, C), False where a row has fewer scored targets than others.
        targets: int64 (B, C), their positions in the stream.
    """

    ids: Tensor
    positions: Tensor
    answers: Tensor
    valid: Tensor
    targets: Tensor

    def part(self, which: slice) -> "DocumentRows":
        """Return some of the rows."""
        return DocumentRows(*(tensor[which] for tensor in self))

    def parts(self, tokens: int) -> Iterator[slice]:
        """Yield rows that run at once, so that they have no more tokens than that."""
        size = max(1, tokens // self.ids.size(1))
        for low in range(0, len(self.ids), size):
            yield slice(low, min(low + size, len(self.ids)))

    def pick(self, hidden: Tensor) -> Tensor:
        """Return the hidden states (B, C, dim) at the scored positions of (B, T, dim)."""
        picked: Tensor = hidden.gather(1, self.positions[..., None].expand(-1, -1, hidden.size(2)))
        return picked


def lay_rows(ids: Tokens, windows: NDArray[np.int64], row_tokens: int, device: str) -> DocumentRows:
    """
    Gather windows.

    Args:
        ids: The stream.
        windows: Start, length and first scored position; int64 (B, 3).
        row_tokens: T.
        device: Where the rows go.

    Returns:
        The rows.

    >>> lay_rows(np.arange(9, dtype=np.uint16), np.array([[2, 3, 1], [5, 1, 0]]), 4, "cpu").ids
    tensor([[2, 3, 4, 0],
            [5, 0, 0, 0]])

    """
    start, length, first = windows.T[:, :, None]
    inner = np.arange(row_tokens)
    inputs = np.where(inner < length, ids[np.minimum(start + inner, ids.size - 1)], 0)
    count = int((length - first).max(initial=0))
    positions = first + np.arange(count)
    valid = positions < length
    positions = np.minimum(positions, length - 1)
    targets = start + positions
    answers = ids[targets + 1].astype(np.int64)
    arrays = (inputs.astype(np.int64), positions, answers, valid, targets)
    return DocumentRows(*(torch.from_numpy(array).to(device) for array in arrays))
