"""The folder beside an output: named when a command is ended, and gone when it is done."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import artpack
from artpack.system import run_folder
from tests.api.conftest import api_tokenizer, small
from tests.cli.conftest import Invoke

__all__ = ["api_tokenizer", "small"]  # fixtures

CALIBRATE = ("calibrate", "ckpt.pt", "--tokens", "calib.bin", "--limit-tokens", "128", "-o", "c.st")
COMPRESS = (
    *("compress", "ckpt.pt", "--calibration-tokens", "calib.bin", "--budget", "60000"),
    *("--profile", "fast", "--jobs", "1", "-o", "a.artpack"),
)


@pytest.fixture(autouse=True)
def here(small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(small)
    monkeypatch.setattr(run_folder, "LEAST_S", 0.0)
    return small


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def full(path: Path, *_: object) -> None:
    raise OSError(28, "No space left on device", str(path))


@pytest.mark.parametrize(
    ("command", "writer"),
    [
        (CALIBRATE, "artpack.calibration.file.write_calibration"),
        (COMPRESS, "artpack.api.compress.write_atomically"),
    ],
)
@pytest.mark.parametrize(
    ("fail", "said"),
    [
        (interrupt, (130, "interrupted; nothing was written")),
        pytest.param(full, (1, "{}: no space left on device"), marks=pytest.mark.slow),
    ],
)
def test_the_same_command_goes_on(
    invoke: Invoke,
    command: tuple[str, ...],
    writer: str,
    fail: Callable[..., None],
    said: tuple[int, str],
) -> None:
    output = Path(command[-1])
    run = Path(f"{output}.run")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(writer, fail)
        done = invoke(*command)
    code, line = said
    line = f"artpack: {line.format(output)}; the same command goes on from {run}\n"
    assert (done.code, done.err.lstrip("\n")) == (code, line)
    assert not output.exists()
    done = invoke(*command)
    assert done.code == 0
    assert done.err.startswith(f"artpack: going on from {run}\n")
    assert not run.exists()
    content = output.read_bytes()
    assert "artpack:" not in invoke(*command).err
    assert output.read_bytes() == content


def test_what_fails_again_leaves_no_folder(invoke: Invoke, here: Path) -> None:
    done = invoke(*COMPRESS, "--budget", "2000")
    assert done.code == 1
    assert "nothing fits into 2,000 bytes" in done.err
    assert not (here / "a.artpack.run").exists()


@pytest.mark.slow
def test_other_options_do_not_use_what_is_there(
    invoke: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(artpack.CompressResult, "save", interrupt)
        invoke(*COMPRESS)
    before = sorted((here / "a.artpack.run").iterdir())
    done = invoke(*COMPRESS, "--set", "matrices.quantizer.states=4")
    left = "artpack: a.artpack.run: holds what is not of this run, and is left there\n"
    assert done.code == 0
    assert left in done.err
    after = sorted((here / "a.artpack.run").iterdir())
    assert [file.name for file in before if "sums" not in file.name] == [f.name for f in after]


KEEP_ALL = (
    "import sys; from artpack.system import run_folder; run_folder.LEAST_S = 0.0;"
    " from artpack_cli.main import main; sys.argv[0] = 'artpack'; main()"
)


@pytest.mark.slow
def test_killed_at_any_time_it_goes_on(invoke: Invoke, here: Path) -> None:
    assert invoke(*COMPRESS).code == 0
    expected = (here / "a.artpack").read_bytes()
    (here / "a.artpack").unlink()
    for results in range(1, 20):
        process = subprocess.Popen([sys.executable, "-c", KEEP_ALL, *COMPRESS])
        while process.poll() is None and len(list(here.glob("a.artpack.run/[a-z]*.*.*"))) < results:
            time.sleep(0.01)
        process.kill()
        if process.wait() == 0:
            break
        assert not (here / "a.artpack").exists()
    assert (here / "a.artpack").read_bytes() == expected
    assert not (here / "a.artpack.run").exists()
