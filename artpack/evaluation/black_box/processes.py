"""Runs of an evaluator, each in a process and a folder of its own."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artpack.errors import EvaluatorError, UsageError
from artpack.evaluation.black_box import worker
from artpack.evaluation.black_box.answer import Answer
from artpack.evaluation.tokens.shards import Tokens
from artpack.system.arrays import read_array

_CACHES = ("TMPDIR", "NUMBA_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")
"""Variables that say where programs write what they would find again."""


@dataclass(frozen=True)
class Function:
    """
    An evaluator in Python.

    Attributes:
        name: ``module:function`` or ``file.py:function``.
    """

    name: str

    def __post_init__(self) -> None:
        home, _, function = self.name.rpartition(":")
        if not home or not function.isidentifier():
            raise UsageError(
                f"`evaluator`: {self.name!r} names no function; give module:function"
                " or file.py:function"
            )
        if home.endswith(".py") and not Path(home).is_file():
            raise UsageError(f"`evaluator`: {home}: no such file")

    @property
    def said(self) -> str:
        """What was asked for."""
        return self.name

    def files(self) -> list[Path]:
        """Return the file of the function, where its name tells which."""
        home = self.name.rpartition(":")[0]
        path = Path(home if home.endswith(".py") else f"{home.replace('.', '/')}.py")
        return [path] if path.is_file() else []

    def job(self, streams: Sequence[Path]) -> dict[str, Any]:
        """
        Say what the process is to do.

        Args:
            streams: Tokens, in the order in which they are evaluated.

        Returns:
            What :mod:`~artpack.evaluation.black_box.worker` takes.

        """
        home, _, function = self.name.rpartition(":")
        name = f"{Path(home).absolute()}:{function}" if home.endswith(".py") else self.name
        paths = [os.path.abspath(path) for path in ("", *sys.path)]  # noqa: PTH100 - "" is here
        return {"function": name, "paths": paths, "tokens": list(map(str, streams))}


@dataclass(frozen=True)
class Command:
    """
    An evaluator that is a program.

    Attributes:
        line: Its command line; ``{tokens}`` stands for the file of the token ids, ``{losses}``
            for the one to write, ``{bytes}`` for one that may be written.
    """

    line: str

    def __post_init__(self) -> None:
        try:
            words = shlex.split(self.line)
        except ValueError as error:
            raise UsageError(f"`evaluator_command`: {str(error).lower()}") from error
        if not words or shutil.which(words[0]) is None:
            raise UsageError(f"`evaluator_command`: {self.line!r} names no program")

    @property
    def said(self) -> str:
        """What was asked for."""
        return self.line

    def files(self) -> list[Path]:
        """Return the files that are named in the command line."""
        return [path for path in map(Path, shlex.split(self.line)) if path.is_file()]

    def job(self, streams: Sequence[Path]) -> dict[str, Any]:
        """
        Say what the process is to do; files that are here are named by their whole paths.

        Args:
            streams: Tokens; there is one.

        Returns:
            What :mod:`~artpack.evaluation.black_box.worker` takes.

        """
        words = shlex.split(self.line)
        if "{tokens}" not in self.line:
            words += ["{tokens}", "{losses}"]
        folder = streams[0].parent
        places = {"tokens": streams[0], "losses": folder / "losses.npy", "bytes": folder / "bytes"}
        given = [str(Path(word).absolute()) if Path(word).exists() else word for word in words[1:]]
        for name, path in places.items():
            given = [word.replace(f"{{{name}}}", str(path)) for word in given]
        program = os.path.abspath(str(shutil.which(words[0])))  # noqa: PTH100 - links stay
        return {"command": [program, *given]}


@dataclass
class FreshProcesses:
    """
    Runs an evaluator, a process a run.

    Attributes:
        evaluator: What is run.
        runs: What was run so far: purpose, seconds and bytes.
    """

    evaluator: Function | Command
    runs: list[dict[str, str | float | int]] = field(default_factory=list)

    @property
    def takes_several(self) -> bool:
        """Whether a process can evaluate several streams."""
        return isinstance(self.evaluator, Function)

    def __call__(self, streams: Sequence[Tokens], what: str) -> Answer:
        """
        Run it in a new folder, which is deleted, with whatever it started.

        Args:
            streams: Token ids, shape (tokens,) each.
            what: The purpose.

        Returns:
            The answer.

        Raises:
            EvaluatorError: The evaluator failed, or wrote no losses.

        """
        with TemporaryDirectory(prefix="evaluation-") as name:
            folder = Path(name).resolve()
            job: dict[str, Any] = {"command": None, "folder": str(folder)}
            job |= self.evaluator.job(_written(folder, streams))
            names = {"losses": "losses.npy", "bytes": "bytes", "peak": "peak"}
            job |= {key: str(folder / name) for key, name in names.items()}
            try:
                seconds = _run(job, folder)
                peak_bytes = _number(folder / "peak") or 0
                answer = Answer(_read_losses(folder), _number(folder / "bytes"))
            except EvaluatorError as error:
                raise EvaluatorError(f"{error} (run {len(self.runs) + 1:,}: {what})") from error
        self.runs.append({"run": what, "seconds": round(seconds, 3), "peak_bytes": peak_bytes})
        return answer


def _written(folder: Path, streams: Sequence[Tokens]) -> list[Path]:
    paths = [folder / f"tokens{number or ''}.npy" for number in range(len(streams))]
    for path, ids in zip(paths, streams, strict=True):
        np.save(path, ids.astype(np.uint32))
    return paths


def _run(job: dict[str, Any], folder: Path) -> float:
    (folder / "tmp").mkdir()
    caches = dict.fromkeys(_CACHES, str(folder / "tmp"))
    environment = {**os.environ, **caches, "PYTHONDONTWRITEBYTECODE": "1"}
    started = time.perf_counter()
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - to run it is what was asked for
            [sys.executable, "-P", worker.__file__, json.dumps(job)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            process.wait()
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        raise EvaluatorError(
            f"the evaluator ended with exit code {process.returncode}: {_last_line(folder)}"
        )
    return time.perf_counter() - started


def _last_line(folder: Path) -> str:
    lines = (folder / "said").read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _read_losses(folder: Path) -> NDArray[np.float64]:
    try:
        losses = read_array(folder / "losses.npy")
    except (OSError, UsageError) as error:
        raise EvaluatorError("the evaluator wrote no .npy array of losses") from error
    if losses.dtype.kind not in "fiu":
        raise EvaluatorError("the evaluator's losses are no array of real numbers")
    return losses.astype(np.float64)


def _number(path: Path) -> int | None:
    if not path.exists():
        return None
    said = path.read_bytes()[:40].strip()
    if not said.isdigit():
        raise EvaluatorError(f"the evaluator's count of {path.name} is no number: {said!r}")
    return int(said)
