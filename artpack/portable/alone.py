"""A decoder, run in a Python that finds nothing but the standard library and numpy."""

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artpack.errors import ArtpackError
from artpack.system.atomic import write_atomically

_PROGRAM = """
import hashlib, importlib.util, json, sys, time
class OnlyNumpy:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "numpy"}:
            raise ImportError(f"a decoder must not import {name}")
sys.meta_path.insert(0, OnlyNumpy())
import numpy
module, artifact, holder = sys.argv[1:]
spec = importlib.util.spec_from_file_location("decoder", module)
decoder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(decoder)
begin = time.perf_counter()
tensors = (getattr(decoder, holder) if holder else decoder).load(artifact)
seconds = time.perf_counter() - begin
hashes = {name: [one.dtype.str, one.shape, hashlib.sha256(numpy.ascontiguousarray(one)).hexdigest()]
          for name, one in tensors.items()}
json.dump({"seconds": seconds, "tensors": hashes}, sys.stdout)
"""


@dataclass(frozen=True)
class Decoded:
    """
    What a decoder made of an artifact.

    Attributes:
        tensors: Name to dtype, shape and SHA-256, as :func:`fingerprint` gives them.
        seconds: How long it took, the start of Python and numpy left out.
    """

    tensors: dict[str, list[Any]]
    seconds: float


def fingerprint(array: NDArray[Any]) -> list[Any]:
    """
    Return what two arrays have in common that are the same bit for bit.

    Args:
        array: Any.

    Returns:
        Its dtype, its shape, and the SHA-256 of its bytes.

    """
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return [array.dtype.str, list(array.shape), digest]


def decode_alone(module: str, artifact: bytes, class_name: str | None = None) -> Decoded:
    """
    Decode an artifact by the source of a decoder alone.

    Args:
        module: The source.
        artifact: The file's content.
        class_name: The class that has ``load``, if one has.

    Returns:
        What came out.

    Raises:
        ArtpackError: The decoder failed; with its last line.

    """
    with tempfile.TemporaryDirectory() as folder:
        source, data = Path(folder) / "decoder.py", Path(folder) / "artifact"
        write_atomically(source, [module.encode()])
        write_atomically(data, [artifact])
        command = [sys.executable, "-I", "-c", _PROGRAM, str(source), str(data), class_name or ""]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        raise ArtpackError(f"the decoder failed: {last[0]}")
    found = json.loads(done.stdout)
    return Decoded(found["tensors"], found["seconds"])
