"""Windows of tokens to calibrate with."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError

Windows = NDArray[np.int64]
"""Token ids, (windows, tokens)."""


def cut_windows(
    ids: NDArray[np.integer[Any]], window_tokens: int, *, limit_tokens: int | None = None
) -> Windows:
    """
    Take windows from a stream, spread evenly over it.

    Shards often hold one source after another; the first tokens alone would be one-sided.

    Args:
        ids: The stream, documents one after another.
        window_tokens: Tokens a window; a shorter stream is one shorter window.
        limit_tokens: Take no more tokens than this, but at least one window.

    Returns:
        Windows without overlap, in the stream's order; a rest that fills none is left out.

    Raises:
        UsageError: The stream is empty.

    >>> cut_windows(np.arange(11, dtype=np.uint16), 2, limit_tokens=6).tolist()
    [[0, 1], [2, 3], [6, 7]]

    """
    if not ids.size:
        raise UsageError("there are no tokens to calibrate with")
    window_tokens = min(window_tokens, ids.size)
    there = ids.size // window_tokens
    wanted = there if limit_tokens is None else max(1, min(there, limit_tokens // window_tokens))
    chosen = np.arange(wanted) * there // wanted
    return ids[: there * window_tokens].reshape(there, window_tokens)[chosen].astype(np.int64)


def hash_tokens(windows: Windows) -> str:
    """Return the SHA-256 of windows, each id as four little-endian bytes, in hexadecimal."""
    return hashlib.sha256(windows.astype("<u4").tobytes()).hexdigest()
