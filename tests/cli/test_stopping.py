"""Signals to stop, and what is said of the files that were being written."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from artpack_cli.render import compress as render
from artpack_cli.signals import STOPPING, handle, interrupting

import artpack
from artpack.evaluation.ttt.saved_state import Keeper
from tests.cli.conftest import Invoke
from tests.cli.test_outputs import FAST, write_model

NOTHING = "artpack: interrupted; nothing was written\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stop_by(kind: signal.Signals) -> Callable[..., None]:
    def stop(*_: object, **__: object) -> None:
        os.kill(os.getpid(), kind)

    return stop


@pytest.mark.parametrize("kind", STOPPING)
def test_before_the_file_is_written_nothing_is(
    invoke: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch, kind: signal.Signals
) -> None:
    write_model(here / "m.safetensors", 1.0)
    before = signal.getsignal(kind)
    monkeypatch.setattr(artpack, "compress", stop_by(kind))
    done = invoke("compress", "m.safetensors", *FAST)
    assert (done.code, done.err.lstrip("\n")) == (130, NOTHING)
    assert [path.name for path in here.iterdir()] == ["m.safetensors"]
    assert signal.getsignal(kind) == before


@pytest.mark.parametrize("old", [None, b"the old one"])
def test_after_it_is_written_that_is_said(
    invoke: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None
) -> None:
    write_model(here / "m.safetensors", 1.0)
    if old is not None:
        (here / "a.artpack").write_bytes(old)
    monkeypatch.setattr(render, "summary", stop_by(signal.SIGTERM))
    done = invoke("compress", "m.safetensors", *FAST, "-o", "a.artpack")
    assert (done.code, done.err.lstrip("\n")) == (
        130,
        "artpack: interrupted; a.artpack was written\n",
    )
    assert (here / "a.artpack").read_bytes() != old


def test_of_a_folder_it_is_said_file_by_file(
    invoke: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artpack_cli.commands.demo._Shell", stop_by(signal.SIGINT))
    done = invoke("demo", "-o", "demo")
    assert done.code == 130
    said = done.err.strip().removeprefix("artpack: interrupted; ").removesuffix(" was written")
    assert sorted(said.split(", ")) == sorted(f"demo/{p.name}" for p in (here / "demo").iterdir())


def test_signals_that_are_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with interrupting():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        handle(signal.default_int_handler)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, before)


STOPPED = """
import os, signal, sys
from artpack_cli import entry
from artpack_cli import main

def load(words):
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
    except BaseException:
        pass  # as an import may do with it
    print("not stopped")

main.load = load
entry.main()
"""


@pytest.mark.parametrize("kind", STOPPING)
def test_while_a_command_is_loaded_a_signal_ends_all(kind: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(int(kind))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", NOTHING)


def test_the_entry_imports_nothing_that_takes_time() -> None:
    code = "import sys; old = set(sys.modules); import artpack_cli.entry;"
    code += " print(*(set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert imported & {"click", "rich", "numpy", "torch", "artpack"} == set()


def test_an_evaluation_without_a_state_yet_says_so(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    """Only what is there can be carried on from."""
    monkeypatch.setattr(artpack, "evaluate", _interrupted)
    write_model(here / "m.safetensors", 1.0)
    words = ("eval", "m.safetensors", "--tokens", "t.bin", "--ttt", "--resume", "state")
    assert "nothing was written" in invoke(*words).err
    Keeper(here / "state", {}).write(1, {})
    done = invoke(*words)
    assert (done.code, done.out) == (130, "")
    assert done.err == "artpack: interrupted; the same command carries on from state\n"


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
