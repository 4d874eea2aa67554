"""Running the command line, in a process of its own as a user does or in this one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from artpack_cli.main import main

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_alone(tmp_path: Path) -> Run:
    """Return a function that runs ``artpack ARGS`` there in a process of its own, which is slow."""

    def call(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "artpack_cli", *args]
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            command, cwd=tmp_path, capture_output=True, text=True, check=False, **options
        )

    return call


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Write a small checkpoint as a trainer would."""
    generator = torch.Generator().manual_seed(3)
    weights = {
        f"blocks.{layer}.{kind}.weight": torch.randn(48, 32, generator=generator)
        for layer in range(2)
        for kind in ("fc", "proj")
    }
    weights["norm"] = torch.ones(32)
    path = tmp_path / "ckpt.pt"
    torch.save({"model": weights, "step": 5}, path)
    return path


class Outcome(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


Invoke = Callable[..., Outcome]


@pytest.fixture
def run(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs ``artpack ARGS`` in the temporary folder."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        code, out, err = invoke(*args)
        return subprocess.CompletedProcess(args, code, out, err)

    return call


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Return a function that runs ``artpack ARGS`` in this process: no torch to import."""

    def call(*args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["artpack", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, *capsys.readouterr())

    return call
