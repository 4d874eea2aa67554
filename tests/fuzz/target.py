"""What is fed: a corpus, how it is changed, a reader, and what is expected of it."""

import ctypes
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from artpack.errors import ArtpackError

MIB = 1 << 20


M_PERTURB = -6
"""Of glibc's ``mallopt``: what byte memory is filled with when it is handed out."""

NO_MEMORY = ("can't allocate memory", "cannot allocate", "out of memory")


class FaultError(AssertionError):
    """A reader did what no input may make it do."""


@dataclass(frozen=True)
class Target:
    """
    A reader and what it is fed.

    Attributes:
        name: In the table, and for ``--target``.
        corpus: Makes sound inputs.
        change: Makes another input of one.
        read: Reads an input whole; returns what tells its content from others, and raises
            ``FaultError`` if what was read breaks a promise.
        sealed: A checksum that ``change`` leaves alone covers everything: no other content
            than that of the corpus may be read.
        memory_bytes: By how much the process may grow while one input is read.
    """

    name: str
    make: Callable[[], list[bytes]]
    change: Callable[[Random, bytes], bytes]
    read: Callable[[bytes], str]
    sealed: bool = False
    memory_bytes: int = 256 * MIB

    @cached_property
    def corpus(self) -> list[tuple[bytes, str]]:
        """Sound inputs and their content."""
        return [(data, self.read(data)) for data in self.make()]

    def input_at(self, seed: int, index: int) -> tuple[bytes, str]:
        """Return the input of a number, and the content of what it was made of."""
        draw = Random(f"{self.name}/{seed}/{index}")
        sound, content = draw.choice(self.corpus)
        return self.change(draw, sound), content

    def verdict(self, data: bytes, content: str) -> str:
        """Read an input; return ``equal``, ``other``, or the kind of its refusal."""
        try:
            fill_new_memory(0x33)
            found = self.read(data)
        except ArtpackError as error:
            if "\n" in str(error) or not str(error):
                raise FaultError(f"the message is not one line: {error!r}") from error
            if wants_too_much(error):
                raise FaultError(f"it was refused for want of memory alone: {error!r}") from error
            return type(error).__name__
        if found == content:
            return "equal"
        if self.sealed:
            raise FaultError("something else was read, and no checksum was made right")
        fill_new_memory(0xCC)
        if self.read(data) != found:
            raise FaultError("what is read differs from time to time")
        return "other"


def fill_new_memory(byte: int) -> None:
    """Let what is read before it was written show: it is another byte for each reading."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_PERTURB, byte)


def wants_too_much(error: BaseException | None) -> bool:
    """Tell whether memory that was not there is behind an error: elsewhere it may be there."""
    while error is not None:
        if isinstance(error, MemoryError) or any(w in str(error).lower() for w in NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of names, dtypes, shapes and bits."""
    whole = hashlib.sha256()
    for name, tensor in tensors.items():
        whole.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        flat = tensor.detach().contiguous().reshape(-1)
        whole.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return whole.hexdigest()


@contextmanager
def saved(data: bytes, name: str) -> Iterator[Path]:
    """Give a file of this content for a while."""
    with TemporaryDirectory(prefix="artpack-fuzz-") as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        yield path
