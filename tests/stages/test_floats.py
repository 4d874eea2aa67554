"""Small floating-point types: every bit pattern as torch reads it."""

import numpy as np
import pytest
import torch

from artpack.stages.floats import SMALL, widen

BYTES = [*SMALL, "float8_e8m0fnu"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", *BYTES])
def test_every_bit_pattern_is_what_torch_reads(dtype: str) -> None:
    size = 1 if dtype in BYTES else 2
    data = np.arange(1 << 8 * size).astype(f"<u{size}").view(np.uint8).reshape(-1, size)

    ours = widen(data, dtype)

    theirs = torch.from_numpy(data.ravel()).view(getattr(torch, dtype)).float().numpy()
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    numbers = ~np.isnan(ours)
    assert np.array_equal(ours[numbers].view(np.uint32), theirs[numbers].view(np.uint32))
