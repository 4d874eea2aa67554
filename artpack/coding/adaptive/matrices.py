"""A list of matrices as one stream of bytes, and back."""

from collections.abc import Sequence

import numpy as np

from artpack.coding.adaptive.kernels import (
    CONTEXTS,
    FIRST_PRIOR,
    Coder,
    Model,
    code_matrix,
)
from artpack.coding.adaptive.tables import first_slots, shifts
from artpack.errors import CorruptError, TruncatedError
from artpack.stages.symbols import Symbols
from artpack.stages.trellis import spacing, trellis

STATE_BYTES = 4
ROOM_BYTES = 1 << 10
LARGEST = (1 << 8 * STATE_BYTES) - 1


def encode_matrices(matrices: Sequence[Symbols], *, alphabet: int, states: int) -> bytes:
    """
    Code matrices one after the other.

    Args:
        matrices: uint8, two-dimensional, below the alphabet.
        alphabet: 1 to 256; the symbol ``alphabet // 2`` stands for 0.
        states: Of the trellis that runs down each column, 1 for none.

    Returns:
        The bytes; none for no symbols. No other matrices of these shapes encode to
        bytes that begin with them.

    """
    if alphabet == 1 or not any(matrix.size for matrix in matrices):
        return b""
    room = ROOM_BYTES + sum(matrix.size for matrix in matrices)
    _, coder = _code(matrices, alphabet, states, _encoder(room))
    if coder.position > room:
        # A byte a symbol was not enough, but now it is known what is.
        _, coder = _code(matrices, alphabet, states, _encoder(coder.position))
    return coder.data[: coder.position].tobytes() + _last_bytes(coder)


def decode_matrices(
    data: bytes, *, shapes: Sequence[tuple[int, int]], alphabet: int, states: int
) -> list[Symbols]:
    """
    Undo :func:`encode_matrices`.

    Args:
        data: Any bytes.
        shapes: Rows and columns of each matrix.
        alphabet: The same number.
        states: The same number.

    Returns:
        The matrices, uint8, which encode to just these bytes.

    Raises:
        TruncatedError: The bytes do not settle what the symbols are.
        CorruptError: There are no such matrices.

    """
    matrices = [np.zeros(shape, np.uint8) for shape in shapes]
    if alphabet == 1 or not any(matrix.size for matrix in matrices):
        if data:
            raise CorruptError(f"adaptive: {len(data)} bytes for no symbols")
        return matrices
    first = int.from_bytes(_window(data, 0, 0), "big")
    whole = np.frombuffer(bytearray(data), np.uint8)
    sound, coder = _code(
        matrices, alphabet, states, Coder(0, LARGEST, first, 0, whole, decoding=True)
    )
    _check_end(data, coder)
    if not sound:
        raise CorruptError(f"adaptive: a symbol is not below the alphabet {alphabet}")
    return matrices


def _encoder(room: int) -> Coder:
    return Coder(0, LARGEST, 0, 0, np.empty(room, np.uint8), decoding=False)


def _code(
    matrices: Sequence[Symbols], alphabet: int, states: int, coder: Coder
) -> tuple[bool, Coder]:
    step = spacing(states)
    level = np.array([1 << 16, 1, 0, 0, 0, FIRST_PRIOR])
    first = first_slots(step)
    slots = np.zeros((CONTEXTS, *first.shape), np.uint32)
    model = Model(trellis(states), step, shifts(step), first, slots, level)
    sound = True
    for matrix in matrices:
        if matrix.size:
            below, coder = code_matrix(matrix, alphabet, model, coder)
            sound &= below
    return sound, coder


def _last_bytes(coder: Coder) -> bytes:
    """Return the fewest bytes that leave the interval whatever follows them, the least of these."""
    low, high = coder.low, coder.high
    for size in range(STATE_BYTES):
        unit = 1 << 8 * (STATE_BYTES - size)
        value = -(-low // unit)
        if (value + 1) * unit - 1 <= high:
            return value.to_bytes(size, "big")
    return low.to_bytes(STATE_BYTES, "big")


def _window(data: bytes, position: int, filling: int) -> bytes:
    """Return four bytes from a position on, filled up where there are fewer."""
    return data[position : position + STATE_BYTES].ljust(STATE_BYTES, bytes([filling]))


def _check_end(data: bytes, coder: Coder) -> None:
    """
    Check that the bytes end where and how an encoder ends them.

    Bytes that end early leave the interval open: with some bytes behind them they
    would decode to other symbols.
    """
    position = coder.position
    least, most = (int.from_bytes(_window(data, position, filling), "big") for filling in (0, 0xFF))
    if position > len(data) or least < coder.low or most > coder.high:
        raise TruncatedError("adaptive: the bytes end early")
    if data[position:] != _last_bytes(coder):
        raise CorruptError("adaptive: bytes are left over")
