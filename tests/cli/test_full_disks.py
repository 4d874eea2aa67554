"""Disks that are full and readers that go away: one line, the old file, and nothing else."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import artpack
from artpack.interop import write_container
from tests.api.conftest import api_tokenizer
from tests.cli.conftest import Invoke
from tests.interop.containers import make
from tests.small_model import write_small_model

__all__ = ["api_tokenizer"]  # a fixture

SCORED = (
    *("--tokens", "val.bin", "--tokenizer", "sp.model"),
    *("--window-tokens", "32", "--limit-tokens", "64"),
)
DATA = ("--calibration-tokens", "calib.bin")
SMALL = (
    *("--layers", "1", "--width", "16", "--steps", "2", "--precision", "fp32"),
    *("--set", "batches.tokens=64", "--set", "batches.window_tokens=32"),
    *("--set", "batches.micro_tokens=32", "--held-out-tokens", "200"),
)
FILES = {
    "compress": ("ckpt.pt", "--recipe", "int6", "--profile", "fast", "-o", "out"),
    "calibrate": ("ckpt.pt", "--tokens", "calib.bin", "--limit-tokens", "64", "-o", "out"),
    "sweep": ("ckpt.pt", *DATA, "--budgets", "60000", "--profile", "fast", "-o", "out"),
    "finetune": ("ckpt.pt", "--tokens", "calib.bin", "--steps", "1", "-o", "out"),
    "unpack": ("m.artpack", "-o", "out.pt"),
    "bundle": ("m.artpack", "-o", "out"),
    "import": ("model.ptz", "-o", "out", "--profile", "fast"),
    "inspect": ("m.artpack", "--html", "out"),
    "compare": ("m.artpack", "ckpt.pt", "--html", "out"),
    "eval": ("m.artpack", *SCORED, "--ttt", "--save-curve", "out"),
    "audit": ("m.artpack", *SCORED, "--html", "out", "--sample", "2"),
}
FOLDERS = {
    "unpack": ("m.artpack", "-o", "made"),
    "submit": ("m.artpack", "--train-script", "train.py", *SCORED, "-o", "made"),
    "tokenize": ("text.txt", "-o", "made", "--vocab", "300", "--held-out", "0.2"),
    "train": ("--data", "data", "-o", "made", *SMALL),
    "demo": ("-o", "made"),
}
QUICK = {"compress", "inspect", "unpack", "demo"}


def some(commands: dict[str, tuple[str, ...]]) -> list[object]:
    """Return commands as parameters, those that take longer as slow ones."""
    return [
        pytest.param((name, *words), id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name, words in commands.items()
    ]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, api_tokenizer: object) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_small_model(folder, api_tokenizer, 512)  # type: ignore[arg-type]
    packed = artpack.compress(folder / "ckpt.pt", recipe="int6", portable=True, profile="fast")
    packed.save(folder / "m.artpack")
    (folder / "model.ptz").write_bytes(write_container(make("torch-zstd"), "torch-zstd"))
    (folder / "train.py").write_text("print()\n")
    words = ["ark", "bread", "cedar", "dove", "earth"]
    documents = [" ".join(words[(i * j + j) % 5] for j in range(40)) + f" {i}." for i in range(60)]
    (folder / "text.txt").write_text("\0".join(documents))
    return folder


@pytest.fixture(autouse=True)
def here(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def full(size: int = 16) -> Iterator[None]:
    """Let no file grow beyond a few bytes, as a full disk and a quota do."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def names(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def last_line(err: str) -> str:
    """Return the error, below what was said of the work and that none of it is kept."""
    return err.splitlines()[-1]


@pytest.mark.parametrize("words", some(FILES))
def test_the_old_file_stays(invoke: Invoke, here: Path, words: tuple[str, ...]) -> None:
    (output,) = (word for word in words if word.startswith("out"))
    (here / output).write_bytes(b"old")
    before = names(here)
    with full():
        done = invoke(*words)
    assert (done.code, last_line(done.err)) == (1, f"artpack: {output}: file too large")
    assert (here / output).read_bytes() == b"old"
    assert names(here) == before


@pytest.mark.parametrize("words", some(FOLDERS))
def test_no_folder_is_left(invoke: Invoke, here: Path, words: tuple[str, ...]) -> None:
    if "data" in words:
        assert (
            invoke("tokenize", *FOLDERS["tokenize"][:2], "data", *FOLDERS["tokenize"][3:]).code == 0
        )
    before = names(here)
    with full():
        done = invoke(*words)
    assert done.code == 1
    assert last_line(done.err).startswith("artpack: made")
    assert last_line(done.err).endswith(": file too large")
    assert names(here) == before


def run(stdout: int, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "artpack_cli", *words]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize("words", [("inspect", "m.artpack"), ("recipes",)])
def test_a_reader_who_goes_away_is_told_nothing(words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run(writer, *words)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_full_standard_output_is_one_line() -> None:
    with Path("/dev/full").open("wb") as device:
        done = run(device.fileno(), "inspect", "m.artpack")
    said = "artpack: standard output: no space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_a_closed_standard_output_is_no_fault() -> None:
    command = [sys.executable, "-m", "artpack_cli", "recipes"]
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
