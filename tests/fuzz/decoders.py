"""The other decoders of an artifact, in numpy and in C: they and artpack's must find the same."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from artpack.artifact.reader import open_artifact
from artpack.errors import ArtifactError, CorruptError
from artpack.portable.reader import load
from tests.artifact.golden_cases import FOLDER
from tests.fuzz.artifacts import other_cbor, other_header, other_streams
from tests.fuzz.target import FaultError, Target, digest, saved
from tests.portable.test_c_decoder import CHECKED, HOSTILE, build, outcome
from tests.portable.test_reader import portable_cases

ALL_ADDRESSES = ("sh", "-c", 'ulimit -S -v unlimited; exec "$0" "$@"')
"""Of which the sanitizers keep a table."""


def _make() -> list[bytes]:
    return [(FOLDER / f"{name}.artpack").read_bytes() for name in portable_cases()]


def _change(draw: Random, data: bytes) -> bytes:
    return draw.choice((other_header, other_cbor, other_streams))(draw, data)


def _read_by_numpy(data: bytes) -> str:
    """Read by both; what artpack refuses need not be refused, but in a line."""
    refusal, found = None, ""
    try:
        with open_artifact(data) as artifact:
            found = digest(artifact.load())
    except ArtifactError as error:
        refusal = error
    try:
        other = digest(load(data, torch=True))
    except ArtifactError as error:
        if refusal is None:
            raise FaultError(f"only numpy refuses it: {error}") from error
        raise
    if refusal is not None:
        raise refusal
    if other != found:
        raise FaultError("numpy reads other tensors")
    return found


@cache
def _program() -> Path:
    folder = TemporaryDirectory(prefix="artpack-fuzz-")
    _folders.append(folder)
    return build(Path(folder.name), *CHECKED, source=HOSTILE)


_folders: list[TemporaryDirectory[str]] = []
"""Which are removed when the process ends."""


def _read_by_c(data: bytes) -> str:
    """Read by both, which must refuse the same, too; sanitizers end the program at any fault."""
    with saved(len(data).to_bytes(4, "little") + data, "files") as path:
        command = [*ALL_ADDRESSES, str(_program()), str(path), "0"]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
    answer = done.stdout.strip()
    if done.returncode or done.stderr or not answer:
        raise FaultError(f"the program in C ended with {done.returncode}: {done.stderr[:2000]}")
    found = outcome(data)
    if found != (answer if answer.startswith("ok ") else "refused"):
        raise FaultError(f"{found} by artpack, {answer} in C")
    if found == "refused":
        raise CorruptError(answer)
    return found


def _targets() -> list[Target]:
    targets = [Target("decoder-numpy", _make, _change, _read_by_numpy)]
    if shutil.which("gcc") or shutil.which("clang"):
        targets.append(Target("decoder-c", _make, _change, _read_by_c))
    return targets


TARGETS = tuple(_targets())
