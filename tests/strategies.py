"""Hypothesis strategies that more than one room's tests draw from."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from artpack.stages.symbols import MAX_ALPHABET, Symbols


@st.composite
def streams(
    draw: st.DrawFn, *, max_alphabet: int = MAX_ALPHABET, max_size: int = 300
) -> tuple[Symbols, int]:
    """Draw one-dimensional symbols and their alphabet."""
    alphabet = draw(st.integers(1, max_alphabet))
    size = draw(st.integers(0, max_size))
    return draw(arrays(np.uint8, size, elements=st.integers(0, alphabet - 1))), alphabet


@st.composite
def parts(draw: st.DrawFn, *, max_side: int = 24) -> Symbols:
    """Draw two-dimensional symbols, with none or one of rows or columns now and then."""
    shape = draw(st.tuples(st.integers(0, max_side), st.integers(0, max_side)))
    largest = draw(st.sampled_from([0, 1, 4, 255]))
    return draw(arrays(np.uint8, shape, elements=st.integers(0, largest)))
