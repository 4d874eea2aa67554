"""Fixtures that every room's tests share."""

import os
import signal
from pathlib import Path

import pytest
import torch

from tests.golden.archive import SUFFIX, unpack

# In the background of a shell or under nohup; commands would ignore them, too, and tests send them.
for kind, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(kind) is signal.SIG_IGN:
        signal.signal(kind, handler)

# Matrices of tests are small, and pytest-xdist has a process for each core: threads only cost.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A program that has the name of the package beside it.
collect_ignore = ["golden.py"]


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
