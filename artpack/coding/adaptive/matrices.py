"""A list of matrices as one stream of bytes, and back."""

from collections.abc import Callable, Sequence

import numpy as np

from artpack.coding.adaptive import encoder
from artpack.coding.adaptive.arrangement import arrange, take
from artpack.coding.adaptive.decoder import decode as decode_compiled
from artpack.coding.adaptive.stream import Points, Stream, split_stream
from artpack.coding.adaptive.tables import PRIOR_ROWS
from artpack.errors import CorruptError
from artpack.stages.symbols import Symbols
from artpack.stages.trellis import spacing, taps

SAMPLE = 1 << 16
"""Symbols with which priors are compared."""


def encode_matrices(matrices: Sequence[Symbols], *, alphabet: int, states: int) -> bytes:
    """
    Code matrices together.

    Args:
        matrices: uint8, two-dimensional, below the alphabet.
        alphabet: 1 to 256; the symbol ``alphabet // 2`` stands for 0.
        states: Of the trellis that runs down each column, 1 for none.

    Returns:
        The bytes; none for no symbols. No other matrices of these shapes encode to
        bytes that begin with them.

    """
    arrangement = arrange([(matrix.shape[0], matrix.shape[1]) for matrix in matrices])
    if alphabet == 1 or not arrangement.order:
        return b""
    points = Points(alphabet, spacing(states), taps(states))
    sample = _sample([matrices[m] for m in arrangement.order])
    beside = arrange([(matrix.shape[0], matrix.shape[1]) for matrix in sample])
    sizes = [
        len(encoder.encode(sample, beside, points, prior=prior)) for prior in range(len(PRIOR_ROWS))
    ]
    return encoder.encode(matrices, arrangement, points, prior=sizes.index(min(sizes)))


def _sample(matrices: Sequence[Symbols]) -> list[Symbols]:
    """Return matrices of some of the columns, so that there are not too many symbols."""
    step = -(-sum(matrix.size for matrix in matrices) // SAMPLE)
    return [np.ascontiguousarray(matrix[:, ::step]) for matrix in matrices]


def decode_matrices(
    data: bytes,
    *,
    shapes: Sequence[tuple[int, int]],
    alphabet: int,
    states: int,
    decode: Callable[[Stream], Symbols] = decode_compiled,
) -> list[Symbols]:
    """
    Undo :func:`encode_matrices`.

    Args:
        data: Any bytes.
        shapes: Rows and columns of each matrix.
        alphabet: The same number.
        states: The same number.
        decode: The compiled decoder, or the one in numpy alone.

    Returns:
        The matrices, uint8.

    Raises:
        TruncatedError: The bytes do not settle what the symbols are.
        CorruptError: There are no such matrices.

    """
    matrices = [np.zeros(shape, np.uint8) for shape in shapes]
    arrangement = arrange(shapes)
    if alphabet == 1 or not arrangement.order:
        if data:
            raise CorruptError(f"adaptive: {len(data)} bytes for no symbols")
        return matrices
    points = Points(alphabet, spacing(states), taps(states))
    wide = decode(split_stream(data, arrangement, points))
    for at, m in enumerate(arrangement.order):
        matrices[m] = take(arrangement, at, wide)
    return matrices
