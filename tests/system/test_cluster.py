"""Dask is an extra, and nobody but a cluster asks for it."""

import subprocess
import sys

import pytest

from artpack.errors import UsageError
from artpack.system.cluster import Cluster


def test_nothing_imports_dask_but_a_cluster() -> None:
    code = (
        "import sys, artpack.api.compress, artpack.api.sweep, artpack.api.calibrate,"
        " artpack.api.plan, artpack.system.cluster; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    names = {name.partition(".")[0] for name in loaded.stdout.decode().split()}
    assert names.isdisjoint({"dask", "distributed"})


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"artpack\[cluster\]"):
        Cluster("tcp://127.0.0.1:1")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="no scheduler"):
        Cluster("nonsense://x")
