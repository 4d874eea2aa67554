"""Fixtures that every room's tests share."""

import os
from pathlib import Path

import pytest
import torch

from tests.golden.archive import SUFFIX, unpack

# A program that has the name of the package beside it.
collect_ignore = ["golden.py"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of golden data and the real checkpoint; skip where it is missing."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("ARTPACK_SHARED", default))
    if not (folder / "data" / "lm6m" / "ckpt.pt").is_file():
        pytest.skip(f"the shared data folder is missing: {folder} (set ARTPACK_SHARED)")
    return folder


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of the reduced golden cases, ``golden/prNNNN/A``."""
    folder = tmp_path_factory.mktemp("cases")
    for path in (Path(__file__).parent / "golden" / "cases").glob(f"*{SUFFIX}"):
        unpack(path, folder / "golden" / path.name.removesuffix(SUFFIX))
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
