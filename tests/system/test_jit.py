"""Compiled functions where machine code can be kept, and where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artpack.system import jit

SOURCE = """
import runpy, sys

jit = runpy.run_path(sys.argv[1])["jit"]  # the package would import torch

@jit(nogil=True)
def double(x):
    return 2 * x

print(double(21))
"""


def _run(folder: Path, **environment: str) -> None:
    """Run the source as somebody without a home, whose folder it is not."""
    (folder / "kernel.py").write_text(SOURCE)
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", "import kernel", jit.__file__],
        cwd=folder,
        env={**kept, "HOME": "/nonexistent/home", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("42\n", "")


def _kept(folder: Path) -> list[Path]:
    return list(folder.rglob("*.nbi"))


def test_machine_code_is_kept_beside_the_source(tmp_path: Path) -> None:
    _run(tmp_path)
    assert [path.parent for path in _kept(tmp_path)] == [tmp_path / "__pycache__"]


@pytest.mark.parametrize("told", [{}, {"NUMBA_CACHE_DIR": "__pycache__/cache"}])
def test_without_any_place_functions_run_uncached(tmp_path: Path, told: dict[str, str]) -> None:
    # A file where the cache folders would be: nobody, not even root, can write into it.
    (tmp_path / "__pycache__").write_text("")
    _run(tmp_path, XDG_CACHE_HOME=str(tmp_path / "__pycache__"), **told)
    assert not _kept(tmp_path)


def test_a_cache_that_is_cut_short_does_no_harm(tmp_path: Path) -> None:
    _run(tmp_path)
    (index,) = _kept(tmp_path)
    index.write_bytes(b"")
    _run(tmp_path)
