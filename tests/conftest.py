"""Fixtures that every room's tests share."""

import os
from pathlib import Path

import pytest
import torch

# A program that has the name of the package beside it.
collect_ignore = ["golden.py"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of golden data and the real checkpoint; skip where it is missing."""
    default = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("ARTPACK_SHARED", default))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
